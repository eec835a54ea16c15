// The functions that every C library has, without glibc's extensions: 3 blocks stay.
#include <stdio.h>

#include "steps.h"

static void *volatile kept;

NOINLINE static void case_plain(void) {
  kept = malloc(1000);
  kept = calloc(4, 50);
  void *volatile block = realloc(NULL, 10);
  kept = realloc(block, 3000);
  block = malloc(77);
  free(block);
  void *aligned = NULL;
  require(posix_memalign(&aligned, 64, 128) == 0, 10);
  free(aligned);
  block = aligned_alloc(64, 192);
  free(block);
  block = calloc((size_t)-1 / 2, 3);
  require(block == NULL, 11);
}

int main(void) {
  step();
  case_plain();
  step();
  return 0;
}
