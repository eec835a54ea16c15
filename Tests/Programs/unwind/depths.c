// Calls `checkpoint` at the bottom of a stack of a given depth: depths DEPTH CALLS. Each level is another function with
// another frame, as in real programs.
#include <stdio.h>
#include <stdlib.h>

#define FUNCTION __attribute__((noinline, noclone))

// The probed function.
FUNCTION void checkpoint(void) { __asm__ volatile("" ::: "memory"); }

// checkpoint, main, and the three frames of the C library and the start-up code.
#define OTHER_FRAMES 5

static int calls;

#define LEVELS(X)                                                                                             \
  ROW(X, 00, 1) ROW(X, 01, 2) ROW(X, 02, 3) ROW(X, 03, 2) ROW(X, 04, 4) ROW(X, 05, 1) ROW(X, 06, 6) ROW(X, 07, 3) \
  ROW(X, 08, 2) ROW(X, 09, 5) ROW(X, 10, 1) ROW(X, 11, 2) ROW(X, 12, 3) ROW(X, 13, 1) ROW(X, 14, 4) ROW(X, 15, 2)
// Frames of 16 to 144 bytes beside what the compiler saves.
#define ROW(X, row, size)                                                                            \
  X(row##0, size) X(row##1, size + 1) X(row##2, 2 * size - 1) X(row##3, size) X(row##4, size + 2) X(row##5, 1) \
  X(row##6, size + 3) X(row##7, 2)

#define DECLARE(name, size) static void level_##name(int remaining, int seed);
LEVELS(DECLARE)
#undef DECLARE

static void (*const levels[])(int, int) = {
#define ADDRESS(name, size) level_##name,
    LEVELS(ADDRESS)
#undef ADDRESS
};

#define DEFINE(name, size)                                   \
  FUNCTION static void level_##name(int remaining, int seed) { \
    volatile char frame[16 * (size)];                        \
    frame[seed & 15] = (char)remaining;                      \
    if (remaining > 0)                                       \
      levels[remaining - 1](remaining - 1, seed + 1);        \
    else                                                     \
      for (int i = 0; i < calls; i++)                        \
        checkpoint();                                        \
    frame[seed & 15]++;                                      \
  }
LEVELS(DEFINE)

int main(int count, char **arguments) {
  int depth = count > 1 ? atoi(arguments[1]) : 0;
  calls = count > 2 ? atoi(arguments[2]) : 1;
  int remaining = depth - OTHER_FRAMES;
  if (remaining < 1 || remaining > (int)(sizeof(levels) / sizeof(levels[0]))) {
    fprintf(stderr, "usage: depths DEPTH CALLS\n");
    return 2;
  }
  levels[remaining - 1](remaining - 1, count);
  __asm__ volatile("" ::: "memory");
  return 0;
}
