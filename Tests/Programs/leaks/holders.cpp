// Blocks that are reachable and grow, each kept by somebody else: a container that is a static variable, a static list, a
// list that only a function's frame leads to. Waits, with all of them there, until its input ends.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <unordered_map>

struct Node {
  Node *next;
  char data[96];
};

static std::map<int, std::string> sessions;
static std::unordered_map<int, void *> cache;
static Node *head;

__attribute__((noinline)) static void remember(int number) {
  sessions[number * 2654435761u] = std::string(3003, 'x');
}

__attribute__((noinline)) static void keep(int number) {
  cache[number] = malloc(3005);
}

__attribute__((noinline)) static Node *push(Node *next, size_t size) {
  Node *node = (Node *)malloc(size);
  node->next = next;
  return node;
}

__attribute__((noinline)) static void fill(Node **local, int from) {
  for (int number = from; number < from + 500; number++) {
    remember(number);
    keep(number);
    head = push(head, 3007);
    *local = push(*local, 3009);
  }
}

static void waitForLine() {
  for (int byte = getchar(); byte != EOF && byte != '\n'; byte = getchar()) {
  }
}

int main(int count, char **) {
  Node *volatile local = nullptr;
  // A part of it is there before anybody looks, and leads to the rest.
  fill((Node **)&local, 0);
  if (count > 1) {
    puts("ready");
    fflush(stdout);
    waitForLine();
  }
  fill((Node **)&local, 500);
  puts("ready");
  fflush(stdout);
  waitForLine();
  return local != nullptr;
}
