// Heaps that keep memory which is not outstanding. Usage: retention scattered|kept|used
#include <malloc.h>

#include "../steps.h"

enum { BLOCK = 256, COUNT = 100 * 1024 * 1024 / BLOCK };

static void *blocks[COUNT];

static void fill(void) {
  for (int i = 0; i < COUNT; i++) {
    blocks[i] = malloc(BLOCK);
    memset(blocks[i], 1, BLOCK);
  }
}

int main(int argc, char **argv) {
  require(argc == 2, 10);
  // Nothing is given back on its own.
  if (strcmp(argv[1], "kept") == 0)
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
  step();
  fill();
  step();
  if (strcmp(argv[1], "used") != 0) {
    int every = strcmp(argv[1], "scattered") == 0 ? 1000 : COUNT + 1;
    for (int i = 0; i < COUNT; i++)
      if ((i + 1) % every != 0)
        free(blocks[i]);
  }
  step();
  malloc_trim(0);
  step();
}
