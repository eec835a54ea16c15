// Calls with a time limit of a second, each in a thread of its own. Says of each what it returned.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>

#include "steps.h"

static const struct timespec second = {.tv_sec = 1};

static long in_epoll_wait(void) {
  struct epoll_event event;
  return epoll_wait(epoll_create1(0), &event, 1, 1000);
}

static long in_epoll_pwait2(void) {
  struct epoll_event event;
  return syscall(441, epoll_create1(0), &event, 1, &second, NULL, 8);
}

static long in_semtimedop(void) {
  struct sembuf down = {.sem_op = -1};
  int semaphore = semget(IPC_PRIVATE, 1, 0600);
  long result = semtimedop(semaphore, &down, 1, &second);
  int error = errno;
  semctl(semaphore, 0, IPC_RMID);
  errno = error;
  return result;
}

static long in_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigtimedwait(&set, NULL, &second);
}

static long in_io_getevents(void) {
  aio_context_t context = 0;
  struct io_event event;
  require(syscall(SYS_io_setup, 1, &context) == 0, 30);
  return syscall(SYS_io_getevents, context, 1, 1, &event, &second);
}

static struct call {
  const char *name;
  long (*function)(void);
  long result;
  int error;
  long milliseconds;
} calls[] = {
    {"epoll_wait", in_epoll_wait, 0, 0, 0},     {"epoll_pwait2", in_epoll_pwait2, 0, 0, 0},
    {"semtimedop", in_semtimedop, 0, 0, 0},     {"sigtimedwait", in_sigtimedwait, 0, 0, 0},
    {"io_getevents", in_io_getevents, 0, 0, 0},
};
enum { CALLS = sizeof(calls) / sizeof(*calls) };

static void *run(void *argument) {
  struct call *call = argument;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  call->result = call->function();
  call->error = call->result < 0 ? errno : 0;
  clock_gettime(CLOCK_MONOTONIC, &end);
  call->milliseconds = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
  return NULL;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t threads[CALLS];
  step();
  for (int i = 0; i < CALLS; i++)
    require(pthread_create(&threads[i], NULL, run, &calls[i]) == 0, 34);
  for (int i = 0; i < CALLS; i++) {
    char line[128];
    pthread_join(threads[i], NULL);
    // A limit may be late by what was slept before the first stop, never early.
    snprintf(line, sizeof(line), "%s %ld %d %s\n", calls[i].name, calls[i].result, calls[i].error,
             calls[i].milliseconds < 1000 ? "early" : calls[i].milliseconds > 5000 ? "late" : "in time");
    say(line);
  }
  step();
  return 0;
}
