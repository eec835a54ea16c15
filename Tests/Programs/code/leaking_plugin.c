// A plugin that forgets a block in each call.
#include <stdlib.h>

static void *volatile kept;

__attribute__((noinline)) static void remember(void) {
  kept = malloc(777);
  __asm__ volatile("");
}

void leak(void) {
  remember();
  kept = NULL;
}
