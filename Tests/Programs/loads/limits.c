// Many blocks: limits COUNT SIZE [free] | limits stacks | limits mixed
#include "../steps.h"

static void *volatile kept;

NOINLINE static void many(long count, size_t size, int frees) {
  void **blocks = (void **)sbrk(count * sizeof(void *));
  for (long i = 0; i < count; i++)
    blocks[i] = malloc(size);
  step();
  if (frees)
    for (long i = 0; i < count; i++)
      free(blocks[i]);
}

// 2^10 call paths, each with a block of its own.
NOINLINE static void left(int bits, int depth);
NOINLINE static void right(int bits, int depth);
NOINLINE static void descend(int bits, int depth) {
  if (depth == 10)
    kept = malloc(40);
  else if (bits >> depth & 1)
    left(bits, depth + 1);
  else
    right(bits, depth + 1);
  KEEP_FRAME();
}
NOINLINE static void left(int bits, int depth) { descend(bits, depth); KEEP_FRAME(); }
NOINLINE static void right(int bits, int depth) { descend(bits, depth); KEEP_FRAME(); }

NOINLINE static void stacks(void) {
  for (int bits = 0; bits < 1024; bits++)
    descend(bits, 0);
}

// 250,000 blocks from 1 to 40,000 bytes, small ones more often; each fifth freed again. The generator is the test's, too.
NOINLINE static void mixed(void) {
  unsigned long state = 1;
  for (int i = 0; i < 250000; i++) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    size_t size = 1 + (state >> 33) % (i % 50 == 0 ? 40000 : 1ul << (state >> 60) % 10);
    void *volatile block = malloc(size);
    if (i % 5 == 4)
      free(block);
  }
}

int main(int argc, char **argv) {
  require(argc > 1, 10);
  step();
  if (strcmp(argv[1], "stacks") == 0)
    stacks();
  else if (strcmp(argv[1], "mixed") == 0)
    mixed();
  else
    many(atol(argv[1]), atol(argv[2]), argc > 3);
  step();
  return 0;
}
