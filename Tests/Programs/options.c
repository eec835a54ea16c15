// Blocks of several ages, sizes and stacks for the options of trace. Prints the addresses that it keeps.
#include <stdint.h>

#include "steps.h"

static void *volatile kept;

static void print_address(void *block) {
  char line[20] = "0x";
  uintptr_t address = (uintptr_t)block;
  int digits = 1;
  while (address >> 4 * digits)
    digits++;
  for (int i = 0; i < digits; i++)
    line[2 + i] = "0123456789abcdef"[address >> 4 * (digits - 1 - i) & 15];
  line[2 + digits] = '\n';
  say(line);
}

NOINLINE static void one_large(void) { kept = malloc(100000); KEEP_FRAME(); }

NOINLINE static void many_small(void) {
  for (int i = 0; i < 50; i++)
    kept = malloc(16);
}

NOINLINE static void growing(size_t size) { kept = malloc(size); KEEP_FRAME(); }

NOINLINE static void shown(void) {
  for (size_t size = 501; size <= 505; size++) {
    void *block = malloc(size);
    print_address(block);
  }
}

// Ten functions that call each other, without frame pointers.
#define LEVEL(n, next) NOINLINE static void level_##n(size_t size) { next(size); KEEP_FRAME(); }
NOINLINE static void level_1(size_t size) { kept = malloc(size); KEEP_FRAME(); }
LEVEL(2, level_1) LEVEL(3, level_2) LEVEL(4, level_3) LEVEL(5, level_4) LEVEL(6, level_5) LEVEL(7, level_6)
LEVEL(8, level_7) LEVEL(9, level_8) LEVEL(10, level_9)

__attribute__((constructor)) NOINLINE static void first_constructor(void) { kept = malloc(7); KEEP_FRAME(); }

int main(int argc, char **argv) {
  require(argc > 1, 10);
  step();
  if (strcmp(argv[1], "order") == 0) {
    many_small();
    step();
    one_large();
    growing(300);
    step();
    growing(5000);
  } else if (strcmp(argv[1], "shown") == 0) {
    shown();
  } else if (strcmp(argv[1], "deep") == 0) {
    level_10(1234);
  } else if (strcmp(argv[1], "arguments") == 0) {
    for (int i = 2; i < argc; i++) {
      say(argv[i]);
      say("\n");
    }
  } else if (strcmp(argv[1], "forever") == 0) {
    for (int i = 0;; i++) {
      growing(32);
      usleep(1000);
    }
  }
  step();
  return 0;
}
