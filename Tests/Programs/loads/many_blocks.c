// Allocates COUNT blocks of 64 bytes from 1,024 call paths once a line comes on standard input, says so on standard
// output, and keeps them until standard input ends: many_blocks COUNT. Allocates nothing else.
#include <stdlib.h>
#include <unistd.h>

#define DEPTH 10

static volatile long sink;
static void **blocks;

static void allocate(long path, long depth, long index);

__attribute__((noinline)) static void left(long path, long depth, long index) {
  allocate(path, depth, index);
  sink++;
}

__attribute__((noinline)) static void right(long path, long depth, long index) {
  allocate(path, depth, index);
  sink--;
}

static void allocate(long path, long depth, long index) {
  if (depth == 0)
    blocks[index] = malloc(64);
  else if (path & 1)
    right(path >> 1, depth - 1, index);
  else
    left(path >> 1, depth - 1, index);
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000000;
  char byte;
  blocks = malloc(count * sizeof *blocks);
  if (read(0, &byte, 1) != 1)
    return 1;
  for (long i = 0; i < count; i++)
    allocate(i, DEPTH, i);
  if (write(1, "ready\n", 6) != 6)
    return 1;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}
