// Threads that allocate, free each other's blocks, and end in every way. threads CASE
#include <pthread.h>
#include <stdint.h>

#include "steps.h"

static void *volatile kept[16];

static pthread_t start(void *(*function)(void *), void *argument) {
  pthread_t thread;
  require(pthread_create(&thread, NULL, function, argument) == 0, 10);
  return thread;
}

static void finish(pthread_t thread) { require(pthread_join(thread, NULL) == 0, 11); }

// ---- Blocks freed by another thread than the one that allocated them: 10 of 100 stay. -------------------------------
NOINLINE static void *free_ninety(void *blocks) {
  for (int i = 0; i < 90; i++)
    free(((void *volatile *)blocks)[i]);
  return NULL;
}

NOINLINE static void case_freed_elsewhere(void) {
  static void *volatile blocks[100];
  for (int i = 0; i < 100; i++)
    blocks[i] = malloc(48);
  finish(start(free_ninety, (void *)blocks));
}

// ---- A thread that ends and leaves 5 blocks behind. -----------------------------------------------------------------
NOINLINE static void *leave_five(void *unused) {
  (void)unused;
  for (int i = 0; i < 5; i++)
    kept[i] = malloc(200);
  return NULL;
}

NOINLINE static void case_ending(void) { finish(start(leave_five, NULL)); }

// ---- The same by pthread_exit, from deep within, with a cleanup handler that allocates. ----------------------------
NOINLINE static void clean_up(void *unused) {
  (void)unused;
  kept[5] = malloc(61);
}

NOINLINE static void leave_by_exit(void) {
  kept[6] = malloc(300);
  pthread_exit(NULL);
}

NOINLINE static void *exit_deep_within(void *unused) {
  (void)unused;
  pthread_cleanup_push(clean_up, NULL);
  leave_by_exit();
  pthread_cleanup_pop(0);
  return NULL;
}

NOINLINE static void case_pthread_exit(void) { finish(start(exit_deep_within, NULL)); }

// ---- Cancelled while it allocates without end. -----------------------------------------------------------------------
NOINLINE static void *allocate_for_ever(void *unused) {
  (void)unused;
  for (;;) {
    void *volatile block = malloc(33);
    free(block);
    pthread_testcancel();
  }
  return NULL;
}

NOINLINE static void case_cancelled(void) {
  pthread_t thread = start(allocate_for_ever, NULL);
  usleep(20000);
  require(pthread_cancel(thread) == 0, 12);
  finish(thread);
  kept[7] = malloc(34);
}

// ---- 8 threads of 10,000 pairs that keep every hundredth block. ------------------------------------------------------
NOINLINE static void *ten_thousand(void *argument) {
  size_t size = 16 + (uintptr_t)argument;
  for (int i = 0; i < 10000; i++) {
    void *volatile block = malloc(size);
    if (i % 100)
      free(block);
  }
  return NULL;
}

NOINLINE static void case_eight(void) {
  pthread_t threads[8];
  for (uintptr_t i = 0; i < 8; i++)
    threads[i] = start(ten_thousand, (void *)i);
  for (int i = 0; i < 8; i++)
    finish(threads[i]);
}

// ---- Blocks handed from one thread to the next and resized on the way. ---------------------------------------------
static void *volatile handed;
NOINLINE static void *resize(void *size) {
  handed = realloc(handed, (uintptr_t)size);
  return NULL;
}

NOINLINE static void case_handed_on(void) {
  handed = malloc(10);
  for (uintptr_t i = 1; i <= 20; i++)
    finish(start(resize, (void *)(i * 50)));
}

// ---- The main thread leaves by pthread_exit and others go on. ------------------------------------------------------
NOINLINE static void *go_on(void *unused) {
  (void)unused;
  while (thread_state(getpid()) != 'Z')
    usleep(1000);
  kept[8] = malloc(500);
  return NULL;
}

NOINLINE static void case_main_exit(void) {
  start(go_on, NULL);
  kept[9] = malloc(501);
  pthread_exit(NULL);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*function)(void);
  } cases[] = {
      {"freed_elsewhere", case_freed_elsewhere}, {"ending", case_ending}, {"pthread_exit", case_pthread_exit},
      {"cancelled", case_cancelled}, {"eight", case_eight}, {"handed_on", case_handed_on}, {"main_exit", case_main_exit},
  };
  step();
  for (int argument = 1; argument < argc; argument++)
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
      if (strcmp(argv[argument], cases[i].name) == 0)
        cases[i].function();
  step();
  return 0;
}
