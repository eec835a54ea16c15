// A table that nobody clears: every entry can be reached, and it grows by some hundred kilobytes a second. It ends by itself after
// so many seconds as its argument says, and frees nothing then.
#include <cstdlib>
#include <map>
#include <string>
#include <unistd.h>

struct Table {
  std::map<int, std::string> entries;
};

Table *sessions = new Table;

__attribute__((noinline)) void remember(int number) { sessions->entries[number] = std::string(2000, 's'); }

int main(int, char **arguments) {
  int seconds = atoi(arguments[1]);
  for (int i = 0; i < seconds * 200; i++) {
    remember(i);
    usleep(5000);
  }
  return 0;
}
