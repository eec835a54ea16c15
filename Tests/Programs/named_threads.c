// Three threads with names, which have ended when the report is made, and the first one: each keeps blocks of its own size.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>

static void *volatile kept[100];
static int count;

__attribute__((noinline)) static void keep(int blocks, size_t size) {
  for (int i = 0; i < blocks; i++)
    kept[__sync_fetch_and_add(&count, 1)] = malloc(size);
}

static void *run(void *argument) {
  static const char *names[] = {"", "alpha", "beta", "beta"};
  long number = (long)argument;
  pthread_setname_np(pthread_self(), names[number]);
  keep((int)number, 100 * (size_t)number);
  return NULL;
}

int main(void) {
  pthread_t threads[4];
  pthread_setname_np(pthread_self(), "first");
  for (long i = 1; i < 4; i++)
    pthread_create(&threads[i], NULL, run, (void *)i);
  for (int i = 1; i < 4; i++)
    pthread_join(threads[i], NULL);
  keep(1, 4000);
  return count == 7 ? 0 : 1;
}
