// Calls `checkpoint` from stacks of random shape: mixture STACKS. What stands on them: functions with few and many saved
// registers, large, variable and realigned frames, calls that never return, the C library between callbacks, signal
// handlers, threads.
#define _GNU_SOURCE
#include <alloca.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

#define FUNCTION __attribute__((noinline, noclone))
#define KEEP(value) __asm__ volatile("" : "+r"(value)::"memory")
#define KEEP_ALL(a, b, c, d, e, f) __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f)::"memory")

struct state {
  unsigned random;
  int depth;
  int threads;
};

typedef void function(struct state *state);
static function next;

static unsigned draw(struct state *state) {
  state->random = state->random * 1664525 + 1013904223;
  return state->random >> 16;
}

FUNCTION static void small(struct state *state) {
  next(state);
  AFTER_CALL();
}

// Needs every register that a call preserves.
FUNCTION static void many_registers(struct state *state) {
  unsigned a = draw(state), b = draw(state), c = draw(state), d = draw(state), e = draw(state), f = draw(state);
  KEEP_ALL(a, b, c, d, e, f);
  next(state);
  KEEP_ALL(a, b, c, d, e, f);
}

FUNCTION static void large_frame(struct state *state) {
  char buffer[9000];
  memset(buffer, (int)draw(state), sizeof(buffer));
  char *start = buffer;
  KEEP(start);
  next(state);
  KEEP(start);
}

FUNCTION static void variable_frame(struct state *state) {
  size_t size = draw(state) % 3000 + 1;
  char *memory = alloca(size);
  memset(memory, 1, size);
  KEEP(memory);
  next(state);
  KEEP(memory);
}

__attribute__((noinline, noclone, target("avx"))) static void realigned_frame(struct state *state) {
  __m256 vectors[3];
  memset(vectors, 1, sizeof(vectors));
  __m256 *start = vectors;
  KEEP(start);
  next(state);
  KEEP(start);
}

FUNCTION static void tail_call(struct state *state) { next(state); }

// The call ends the function: its return address is in the next one.
static __thread jmp_buf escape;

__attribute__((noinline, noclone, noreturn)) static void escapes(struct state *state) {
  next(state);
  longjmp(escape, 1);
}

FUNCTION static void never_returns(struct state *state) {
  jmp_buf outer;
  memcpy(outer, escape, sizeof(outer));
  if (setjmp(escape) == 0)
    escapes(state);
  memcpy(escape, outer, sizeof(outer));
}

static __thread struct state *current;

static int compare(const void *left, const void *right) {
  if (current) {
    struct state *state = current;
    current = NULL;
    next(state);
  }
  return *(const int *)left - *(const int *)right;
}

FUNCTION static void through_sort(struct state *state) {
  int numbers[] = {3, 1, 2};
  current = state;
  qsort(numbers, 3, sizeof(*numbers), compare);
  AFTER_CALL();
}

static void on_signal(int number) {
  (void)number;
  struct state *state = current;
  next(state);
  AFTER_CALL();
}

FUNCTION static void through_signal(struct state *state) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
  sigaction(SIGUSR1, &action, NULL);
  current = state;
  raise(SIGUSR1);
  AFTER_CALL();
}

static void *thread_main(void *state) {
  next(state);
  AFTER_CALL();
  return NULL;
}

FUNCTION static void through_thread(struct state *state) {
  pthread_t thread;
  if (state->threads++ > 0)
    return small(state);
  pthread_create(&thread, NULL, thread_main, state);
  pthread_join(thread, NULL);
}

static function *const functions[] = {small,     many_registers, large_frame,  variable_frame, realigned_frame,
                                      tail_call, never_returns,  through_sort, through_signal, through_thread};

static void next(struct state *state) {
  if (state->depth-- <= 0)
    checkpoint();
  else
    functions[draw(state) % (sizeof(functions) / sizeof(functions[0]))](state);
  AFTER_CALL();
}

int main(int count, char **arguments) {
  int stacks = count > 1 ? atoi(arguments[1]) : 1;
  for (int i = 0; i < stacks; i++) {
    struct state state = {.random = (unsigned)i * 7919, .depth = i % 24};
    next(&state);
  }
  return 0;
}
