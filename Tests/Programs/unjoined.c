// Threads that nobody joins beside threads that are joined or detached. On each step 12, 24 and 6 of them.
#include <pthread.h>

#include "steps.h"

static _Atomic int detached_running;

NOINLINE static void *client_main(void *argument) { return argument; }
NOINLINE static void *worker_main(void *argument) { return argument; }
NOINLINE static void *detached_main(void *argument) {
  detached_running--;
  return argument;
}

static pthread_t start(void *(*routine)(void *), const pthread_attr_t *attributes) {
  pthread_t thread;
  require(pthread_create(&thread, attributes, routine, NULL) == 0, 10);
  return thread;
}

NOINLINE static void start_client(void) {
  start(client_main, NULL);
  KEEP_FRAME();
}

NOINLINE static void start_ok(void) {
  require(pthread_join(start(worker_main, NULL), NULL) == 0, 11);
  KEEP_FRAME();
}

NOINLINE static void start_detached(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  detached_running++;
  start(detached_main, &attributes);
  KEEP_FRAME();
}

int main(void) {
  step();
  for (int turn = 0; turn < 3; turn++) {
    for (int i = 0; i < 12; i++) {
      start_client();
      start_ok();
      start_ok();
      if (i % 2)
        start_detached();
      usleep(getenv("STEPS") ? 1000 : 150000);
    }
    while (detached_running)
      usleep(1000);
    step();
  }
  return 0;
}
