// Allocates and frees from many different call stacks, and leaks from a few: many_stacks COUNT PAUSE_MICROSECONDS.
// Stack number n is a walk of 14 calls, each of one of two functions by a bit of n. Every 1,000th block is not freed.
#include <stdlib.h>
#include <unistd.h>

static void *walk(unsigned bits, int depth);

__attribute__((noinline)) static void *left(unsigned bits, int depth) {
  void *block = walk(bits, depth);
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

__attribute__((noinline)) static void *right(unsigned bits, int depth) {
  void *block = walk(bits, depth);
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

__attribute__((noinline)) static void *walk(unsigned bits, int depth) {
  void *block = depth == 0    ? malloc(24)
                : bits & 1    ? left(bits >> 1, depth - 1)
                              : right(bits >> 1, depth - 1);
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

int main(int argc, char **argv) {
  unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
  unsigned pause = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
  for (unsigned number = 0; number < count; number++) {
    void *block = walk(number, 14);
    if (number % 1000 != 0)
      free(block);
    if (pause)
      usleep(pause);
  }
  return 0;
}
