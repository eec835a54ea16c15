// What a system call that makes kernel objects costs: kernel_calls WHAT SECONDS waits for a line, repeats WHAT for so
// long, and prints the least mean of a batch in nanoseconds: what else the machine does only ever adds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void call_pipe(void) {
  int ends[2];
  if (pipe(ends))
    exit(2);
  close(ends[0]);
  close(ends[1]);
}

static void call_eventfd(void) { close(eventfd(0, 0)); }

static void call_open(void) { close(open("/etc/passwd", O_RDONLY)); }

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

int main(int argument_count, char **arguments) {
  enum { BATCH = 200 };
  if (argument_count < 3)
    return 1;
  void (*call)(void) = !strcmp(arguments[1], "pipe") ? call_pipe : !strcmp(arguments[1], "eventfd") ? call_eventfd : call_open;
  double seconds = atof(arguments[2]), least = 1e18;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
  sched_setaffinity(0, sizeof(set), &set);
  char line[16];
  if (!fgets(line, sizeof(line), stdin))
    return 1;
  for (uint64_t end = now() + seconds * 1e9; now() < end;) {
    uint64_t start = now();
    for (int i = 0; i < BATCH; i++)
      call();
    double mean = (double)(now() - start) / BATCH;
    if (mean < least)
      least = mean;
  }
  printf("%.1f\n", least);
  return 0;
}
