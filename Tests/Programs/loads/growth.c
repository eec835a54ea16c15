// A leak, a cache that is flushed, and memory from the start, for the time given in seconds.
#include <time.h>

#include "../steps.h"

static void *volatile lost;
static void *cache[64];
static void *start[100];

NOINLINE static void leak(void) {
  lost = malloc(100);
  KEEP_FRAME();
}

NOINLINE static void *cached(void) {
  void *block = malloc(1000);
  KEEP_FRAME();
  return block;
}

NOINLINE static void begin(void) {
  for (int i = 0; i < 100; i++)
    start[i] = malloc(10000);
}

int main(int argc, char **argv) {
  require(argc == 2, 10);
  struct timespec pause = {0, 10000000};
  begin();
  for (int i = 0; i < 100 * atoi(argv[1]); i++) {
    leak();
    if (i % 64 == 0)
      for (int j = 0; j < 64; j++) {
        free(cache[j]);
        cache[j] = NULL;
      }
    cache[i % 64] = cached();
    nanosleep(&pause, NULL);
  }
}
