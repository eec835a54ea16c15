// Fills a tracer's table of blocks at a measured pace, so that nobody can say there was no time to make room.
// usage: filling KEPT SIZE CHURNED: keeps so many blocks of one stack and allocates and frees others of another.
#include <stdlib.h>
#include <unistd.h>

static void *volatile sink;

__attribute__((noinline)) static void keep(size_t size) {
  void **block = malloc(size);
  *block = sink;
  sink = block;
}

__attribute__((noinline)) static void churn(size_t size) {
  void *volatile block = malloc(size);
  free(block);
}

// Freed at the end, so that most of what was taken out of a table is freed, too.
static void *passing[200000];

__attribute__((noinline)) static void hold(int index) { passing[index] = malloc(48); }

int main(int count, char **arguments) {
  if (count < 4)
    return 2;
  int kept = atoi(arguments[1]), churned = atoi(arguments[3]);
  size_t size = strtoul(arguments[2], NULL, 10);
  for (int i = 0; i < kept; i++) {
    keep(size);
    if (i < 200000)
      hold(i);
    if (i % 200 == 0)
      usleep(1000);
  }
  for (int i = 0; i < churned; i++)
    churn(size);
  for (int i = 0; i < kept && i < 200000; i++)
    free(passing[i]);
  return 0;
}
