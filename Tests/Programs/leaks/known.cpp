// Leaks of every kind through what programs allocate by: malloc, strdup, operator new and new[], a function that was
// inlined. For suppressions, ways of showing leaks, and explanations.
#include "leaks.h"

struct Node {
  Node *next;
  char text[40];
};

Root anchor;
Root inside;
struct {
  char padding[24];
  void *volatile slot;
} table;

NOINLINE static Node *make_node(Node *next) {
  Node *node = (Node *)block(sizeof(Node));
  put(node, 0, next);
  memcpy(node->text, "known node", 10);
  return node;
}

// The last node is definitely lost, the four before it indirectly.
LEAK_CASE(list) {
  Node *node = nullptr;
  for (int i = 0; i < 5; i++)
    node = make_node(node);
  KEEP_FRAME();
}

namespace shop {
struct Store {
  int *volatile prices;
  NOINLINE void open(int count) {
    prices = new int[count];
    prices = nullptr;
  }
  NOINLINE void close() {
    char *volatile receipt = new char;
    receipt = nullptr;
  }
};
}  // namespace shop

LEAK_CASE(operators) {
  shop::Store store;
  store.open(100);
  store.close();
  KEEP_FRAME();
}

LEAK_CASE(duplicate) {
  char *volatile copy = strdup("a string that nobody keeps");
  copy = nullptr;
}

static inline __attribute__((always_inline)) void *inlined(size_t size) { return block(size); }

LEAK_CASE(inlined_call) {
  void *volatile lost = inlined(333);
  lost = nullptr;
}

LEAK_CASE(interior) {
  inside = (char *)block(128) + 8;
  KEEP_FRAME();
}

LEAK_CASE(reachable) {
  char *first = (char *)block(300);
  char *second = (char *)block(77);
  put(first, 16, second);
  table.slot = first;
  anchor = block(55);
}

static const struct leak_case cases[] = {
    CASE_ENTRY(list),         CASE_ENTRY(operators), CASE_ENTRY(duplicate),
    CASE_ENTRY(inlined_call), CASE_ENTRY(interior),  CASE_ENTRY(reachable),
};

int main(int, char **argv) { RUN_CASES(cases, argv); }
