// Ways in which a process ends; each time the same blocks are lost and the same are reachable: exits WAY.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "steps.h"

void *root;

// 3 lost, one of them only with another: 48 + 48, 24.
NOINLINE static void lose(void) {
  void **first = malloc(48);
  *first = malloc(24);
  KEEP_FRAME();
  free(malloc(1));
  malloc(48);
  KEEP_FRAME();
}

// 2 reachable.
NOINLINE static void keep(void) {
  root = malloc(100);
  *(void **)root = malloc(200);
  KEEP_FRAME();
}

NOINLINE static void wipe(void) {
  volatile char bytes[16384];
  for (size_t i = 0; i < sizeof(bytes); i++)
    bytes[i] = 0;
}

static pthread_barrier_t barrier;

// Holds a block in a register, and one on its stack, and nowhere else.
NOINLINE static void *hold_in_thread(void *how) {
  void *volatile on_stack = malloc(300);
  register void *in_register __asm__("r14") = malloc(400);
  __asm__ volatile("" : "+r"(in_register));
  pthread_barrier_wait(&barrier);
  if (how)
    // Busy in user mode.
    for (;;)
      __asm__ volatile("pause" : "+r"(in_register));
  long number = SYS_pause;
  for (;;)
    __asm__ volatile("syscall" : "=a"(number) : "0"(SYS_pause), "r"(in_register) : "rcx", "r11", "memory");
  return on_stack;
}

static volatile int first_thread_ends;

static void *end_process(void *way) {
  while (first_thread_ends && thread_state(getpid()) != 'Z')
    usleep(1000);
  if (way)
    exit(5);
  return NULL;
}

static void start_holders(void) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 3);
  pthread_create(&thread, NULL, hold_in_thread, NULL);
  pthread_create(&thread, NULL, hold_in_thread, &barrier);
  pthread_barrier_wait(&barrier);
}

static void on_signal(int number) { _exit(number); }

int main(int argument_count, char **arguments) {
  const char *way = arguments[1];
  require(argument_count == 2, 2);
  pthread_t thread;
  lose();
  keep();
  wipe();
  if (!strcmp(way, "return"))
    return 3;
  if (!strcmp(way, "exit"))
    exit(3);
  if (!strcmp(way, "_exit"))
    _exit(3);
  if (!strcmp(way, "syscall"))
    syscall(SYS_exit_group, 3);
  if (!strcmp(way, "last-thread"))
    syscall(SYS_exit, 3);
  if (!strcmp(way, "abort"))
    abort();
  if (!strcmp(way, "fault"))
    raise(SIGSEGV);
  if (!strcmp(way, "terminated")) {
    say("ready\n");
    for (;;)
      pause();
  }
  if (!strcmp(way, "handled")) {
    signal(SIGTERM, on_signal);
    say("ready\n");
    for (;;)
      pause();
  }
  // The first thread ends, another ends the process or is the last.
  if (!strcmp(way, "first-thread") || !strcmp(way, "first-thread-alone")) {
    first_thread_ends = 1;
    pthread_create(&thread, NULL, end_process, !strcmp(way, "first-thread") ? &barrier : NULL);
    pthread_exit(NULL);
  }
  if (!strcmp(way, "other-thread")) {
    pthread_create(&thread, NULL, end_process, &barrier);
    for (;;)
      pause();
  }
  if (!strcmp(way, "threads")) {
    start_holders();
    return 3;
  }
  if (!strcmp(way, "threads-killed")) {
    start_holders();
    abort();
  }
  if (!strcmp(way, "exec")) {
    execl(arguments[0], arguments[0], "return", NULL);
    return 9;
  }
  if (!strcmp(way, "child")) {
    if (fork() == 0) {
      lose();
      wipe();
      _exit(0);
    }
    wait(NULL);
    return 3;
  }
  if (!strcmp(way, "vfork")) {
    if (vfork() == 0)
      _exit(0);
    wait(NULL);
    return 3;
  }
  return 2;
}
