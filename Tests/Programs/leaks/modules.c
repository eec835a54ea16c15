// Pointers in shared libraries: linked, loaded later (OPENED names the file), and unloaded again (CLOSED does). Blocks
// are of 48 bytes. What the loader allocates for thread-local variables is its own affair.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "leaks.h"

enum { SIZE = 48 };
typedef void Keep(void *);

Keep keep_in_data, keep_in_bss, keep_in_variable, keep_in_large_variable;

static void *opened, *closed;

static void keep(void *library, const char *function, void *pointer) {
  Keep *found = (Keep *)dlsym(library, function);
  require(found != NULL, 10);
  found(pointer);
}

// Reachable, all of these.
LEAK_CASE(linked_data) { keep_in_data(block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(linked_bss) { keep_in_bss(block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(linked_variable) { keep_in_variable(block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(linked_large_variable) { keep_in_large_variable(block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(opened_data) { keep(opened, "keep_in_data", block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(opened_bss) { keep(opened, "keep_in_bss", block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(opened_variable) { keep(opened, "keep_in_variable", block(SIZE)); KEEP_FRAME(); }
LEAK_CASE(opened_large_variable) { keep(opened, "keep_in_large_variable", block(SIZE)); KEEP_FRAME(); }

static sem_t is_set_up;

// Reachable from another thread's variables: 2.
NOINLINE static void *case_thread_variables__thread(void *unused) {
  keep_in_large_variable(block(SIZE));
  keep(opened, "keep_in_large_variable", block(SIZE));
  wipe_stack();
  wipe_registers();
  sem_post(&is_set_up);
  for (;;)
    pause();
  return unused;
}
LEAK_CASE(thread_variables) {
  pthread_t thread;
  sem_init(&is_set_up, 0, 0);
  require(pthread_create(&thread, NULL, case_thread_variables__thread, NULL) == 0, 11);
  while (sem_wait(&is_set_up) != 0) {}
}

// Lost: the thread has ended, and its variables are freed. 2.
NOINLINE static void *case_ended_variables__thread(void *unused) {
  keep_in_large_variable(block(SIZE));
  keep(opened, "keep_in_large_variable", block(SIZE));
  wipe_stack();
  return unused;
}
LEAK_CASE(ended_variables) {
  pthread_t thread;
  require(pthread_create(&thread, NULL, case_ended_variables__thread, NULL) == 0, 12);
  require(pthread_join(thread, NULL) == 0, 13);
}

// Lost: the library is gone, data and all. 2.
LEAK_CASE(closed_data) {
  keep(closed, "keep_in_data", block(SIZE));
  keep(closed, "keep_in_bss", block(SIZE));
  require(dlclose(closed) == 0, 14);
  closed = NULL;
}

// Only for its comment, in library.c.
LEAK_CASE(library_constructor) {}

static const struct leak_case cases[] = {
    CASE_ENTRY(linked_data), CASE_ENTRY(linked_bss), CASE_ENTRY(linked_variable), CASE_ENTRY(linked_large_variable),
    CASE_ENTRY(opened_data), CASE_ENTRY(opened_bss), CASE_ENTRY(opened_variable), CASE_ENTRY(opened_large_variable),
    CASE_ENTRY(library_constructor), CASE_ENTRY(ended_variables), CASE_ENTRY(thread_variables), CASE_ENTRY(closed_data),
};

int main(int argc, char **argv) {
  (void)argc;
  require(getenv("OPENED") && getenv("CLOSED"), 15);
  opened = dlopen(getenv("OPENED"), RTLD_NOW);
  closed = dlopen(getenv("CLOSED"), RTLD_NOW);
  require(opened && closed, 16);
  RUN_CASES(cases, argv);
}
