// A victim of kill_storm.py and fork_storm.py: threads that allocate all the time, and one that starts children.
// usage: storm_target FILE THREADS MODE STARTS_PER_SECOND CHILD_MILLISECONDS
// MODE is fork, vfork or spawn-like exec (fork and exec); STARTS_PER_SECOND 0 means as fast as it can, −1 none.
// FILE is mapped: longest time in nanoseconds that a thread's allocation took (whoever reads it sets it to 0), children
// started, allocations.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
  _Atomic uint64_t longest_stall;
  _Atomic uint64_t started;
  _Atomic uint64_t allocations;
};

static struct shared *shared;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *allocate(void *unused) {
  void *volatile blocks[64] = {0};
  (void)unused;
  for (uint64_t i = 0;; i++) {
    uint64_t begin = now();
    free(blocks[i % 64]);
    blocks[i % 64] = malloc(16 + i % 1000);
    uint64_t took = now() - begin, longest = shared->longest_stall;
    while (took > longest && !__atomic_compare_exchange_n((uint64_t *)&shared->longest_stall, &longest, took, 0,
                                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      ;
    shared->allocations++;
    if (i % 64 == 0)
      usleep(1000);
  }
}

static void start_child(const char *mode, long milliseconds) {
  char text[32];
  snprintf(text, sizeof(text), "%ld.%03ld", milliseconds / 1000, milliseconds % 1000);
  pid_t child = strcmp(mode, "vfork") == 0 ? vfork() : fork();
  if (child == 0) {
    if (strcmp(mode, "fork") == 0) {
      void *volatile block = malloc(100);
      (void)block;
      if (milliseconds)
        usleep((useconds_t)milliseconds * 1000);
      _exit(0);
    }
    if (milliseconds)
      execlp("sleep", "sleep", text, (char *)NULL);
    else
      execlp("true", "true", (char *)NULL);
    _exit(1);
  }
  shared->started++;
  if (!milliseconds)
    waitpid(child, NULL, 0);
  else
    while (waitpid(-1, NULL, WNOHANG) > 0)
      ;
}

int main(int count, char **arguments) {
  if (count != 6)
    return 2;
  int file = open(arguments[1], O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, 4096))
    return 3;
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  prctl(PR_SET_PDEATHSIG, 9);
  for (int i = 0; i < atoi(arguments[2]); i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, allocate, NULL);
  }
  long rate = atol(arguments[4]);
  for (;;) {
    if (rate >= 0)
      start_child(arguments[3], atol(arguments[5]));
    if (rate != 0)
      usleep(rate > 0 ? (useconds_t)(1000000 / rate) : 1000000);
  }
}
