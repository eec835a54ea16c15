// Times malloc+free pairs: pairs COUNT SIZE [BLOCKS_TO_LEAK]. Prints nanoseconds per pair.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

__attribute__((noinline)) static double run(long count, size_t size) {
  double start = now();
  for (long i = 0; i < count; i++) {
    void *volatile block = malloc(size);
    free(block);
  }
  return (now() - start) / count;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 100000;
  size_t size = argc > 2 ? atol(argv[2]) : 64;
  long rounds = argc > 3 ? atol(argv[3]) : 5;
  getchar();  // until the tracer is attached
  double best = 1e300;
  for (long round = 0; round < rounds; round++) {
    double cost = run(count, size);
    if (cost < best)
      best = cost;
  }
  printf("%.1f\n", best);
  return 0;
}
