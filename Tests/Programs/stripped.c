// Loses 1,000 blocks of 100 bytes and frees everything else: linked statically and without symbols in the tests.
#include <stdlib.h>
#include <string.h>

static void *volatile sink;

__attribute__((noinline)) static void lose(int number) {
  void *block = malloc(100);
  memset(block, number, 100);
  sink = block;
  sink = 0;
}

int main(void) {
  for (int i = 0; i < 1000; i++) {
    void *freed = malloc(50 + i), *counted = calloc(3, 7);
    counted = realloc(counted, 200);
    free(freed);
    free(counted);
    lose(i);
  }
  return 0;
}
