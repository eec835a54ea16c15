// A table that is never cleared and that the program destroys at its exit, and a cache that it has cleared long before.
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <unistd.h>

static std::map<int, std::string> sessions;

__attribute__((noinline)) static void remember(int number) { sessions[number] = std::string(200, 'x'); }

__attribute__((noinline)) static std::vector<char> *fill() { return new std::vector<char>(100000); }

int main(int, char **arguments) {
  int seconds = std::atoi(arguments[1]);
  std::vector<char> *bounded = fill();
  for (int number = 0; number < seconds * 100; number++) {
    remember(number);
    usleep(10000);
  }
  delete bounded;
}
