// Threads that are blocked in system calls, one in each of those that signal(7) says return EINTR after a stop, and in
// some that the kernel restarts. Whatever comes back is counted; nothing should.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "steps.h"

static const struct timespec hour = {.tv_sec = 3600};

static long in_epoll_wait(void) {
  struct epoll_event event;
  return epoll_wait(epoll_create1(0), &event, 1, 3600000);
}

static long in_epoll_pwait(void) {
  struct epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  return epoll_pwait(epoll_create1(0), &event, 1, -1, &none);
}

static long in_epoll_pwait2(void) {
  struct epoll_event event;
  return syscall(441, epoll_create1(0), &event, 1, &hour, NULL, 8);
}

static int empty_semaphore(void) { return semget(IPC_PRIVATE, 1, 0600); }
static int semaphores[2];

static long in_semop(void) {
  struct sembuf down = {.sem_op = -1};
  return semop(semaphores[0] = empty_semaphore(), &down, 1);
}

static long in_semtimedop(void) {
  struct sembuf down = {.sem_op = -1};
  return semtimedop(semaphores[1] = empty_semaphore(), &down, 1, &hour);
}

static long in_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigtimedwait(&set, NULL, &hour);
}

static long in_io_getevents(void) {
  aio_context_t context = 0;
  struct io_event event;
  require(syscall(SYS_io_setup, 1, &context) == 0, 30);
  return syscall(SYS_io_getevents, context, 1, 1, &event, &hour);
}

static int socket_with_timeout(int option, int end) {
  static const struct timeval limit = {.tv_sec = 3600};
  int pair[2];
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, 31);
  setsockopt(pair[end], SOL_SOCKET, option, &limit, sizeof(limit));
  return pair[end];
}

static long in_recv(void) {
  char byte;
  return recv(socket_with_timeout(SO_RCVTIMEO, 0), &byte, 1, 0);
}

static long in_socket_read(void) {
  char byte;
  return read(socket_with_timeout(SO_RCVTIMEO, 1), &byte, 1);
}

static long in_send(void) {
  static char much[1 << 16];
  int socket = socket_with_timeout(SO_SNDTIMEO, 0);
  while (send(socket, much, sizeof(much), MSG_DONTWAIT) > 0)
    ;
  return send(socket, much, sizeof(much), 0);
}

static long in_accept(void) {
  static const struct timeval limit = {.tv_sec = 3600};
  int socket_to_listen = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un name = {.sun_family = AF_UNIX};  // a name of the kernel's choice
  require(bind(socket_to_listen, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0, 32);
  listen(socket_to_listen, 1);
  setsockopt(socket_to_listen, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return accept(socket_to_listen, NULL, NULL);
}

static long in_pipe_read(void) {
  int ends[2];
  char byte;
  require(pipe(ends) == 0, 33);
  return read(ends[0], &byte, 1);
}

static long in_poll(void) { return poll(NULL, 0, 3600000); }
static long in_select(void) {
  struct timeval limit = {.tv_sec = 3600};
  return select(0, NULL, NULL, NULL, &limit);
}
static long in_nanosleep(void) { return nanosleep(&hour, NULL); }
static long in_pause(void) { return pause(); }
static long in_wait(void) {
  pid_t parent = getpid();
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // It may have been killed before it could be asked for its death.
    if (getppid() == parent)
      pause();
    _exit(0);
  }
  return wait(NULL);
}

static struct call {
  const char *name;
  long (*function)(void);
  atomic_int returns;
  int error;
  atomic_int thread_id;
} calls[] = {
    {"epoll_wait", in_epoll_wait, 0, 0, 0},     {"epoll_pwait", in_epoll_pwait, 0, 0, 0},
    {"epoll_pwait2", in_epoll_pwait2, 0, 0, 0}, {"semop", in_semop, 0, 0, 0},
    {"semtimedop", in_semtimedop, 0, 0, 0},     {"sigtimedwait", in_sigtimedwait, 0, 0, 0},
    {"io_getevents", in_io_getevents, 0, 0, 0}, {"recv", in_recv, 0, 0, 0},
    {"read", in_socket_read, 0, 0, 0},          {"send", in_send, 0, 0, 0},
    {"accept", in_accept, 0, 0, 0},             {"pipe", in_pipe_read, 0, 0, 0},
    {"poll", in_poll, 0, 0, 0},                 {"select", in_select, 0, 0, 0},
    {"nanosleep", in_nanosleep, 0, 0, 0},       {"pause", in_pause, 0, 0, 0},
    {"wait", in_wait, 0, 0, 0},
};
enum { CALLS = sizeof(calls) / sizeof(*calls) };

static void *run(void *argument) {
  struct call *call = argument;
  call->thread_id = (int)syscall(SYS_gettid);
  for (;;) {
    call->function();
    call->error = errno;
    atomic_fetch_add(&call->returns, 1);
  }
  return NULL;
}

static void on_signal(int number) { (void)number; }

static int all_are_asleep(void) {
  for (int i = 0; i < CALLS; i++)
    if (!calls[i].thread_id || thread_state(calls[i].thread_id) != 'S')
      return 0;
  return 1;
}

// Until all threads sleep at ten looks in a row, 2 ms apart: what they do before their calls does not take that long.
static void wait_until_blocked(void) {
  for (int looks = 0; looks < 10; usleep(2000))
    looks = all_are_asleep() ? looks + 1 : 0;
}

// In the end a signal with a handler comes: that calls must not survive. With the argument `alone` the program says its
// process id and waits for input in a way that must not be disturbed either.
int main(int argument_count, char **arguments) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t threads[CALLS];
  for (int i = 0; i < CALLS; i++)
    require(pthread_create(&threads[i], NULL, run, &calls[i]) == 0, 34);
  wait_until_blocked();
  char line[128];
  int failures = 0;
  if (argument_count > 1 && !strcmp(arguments[1], "alone")) {
    snprintf(line, sizeof(line), "ready\n%d\n", (int)getpid());
    say(line);
    // The first thread, too, is in such a call.
    struct epoll_event event, input = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input);
    if (epoll_wait(epoll, &event, 1, -1) != 1)
      failures++;
  } else {
    step();
  }
  for (int i = 0; i < CALLS; i++) {
    if (calls[i].returns) {
      snprintf(line, sizeof(line), "%s returned %d times: %s\n", calls[i].name, (int)calls[i].returns,
               strerror(calls[i].error));
      say(line);
      failures++;
    }
  }
  // The calls are where they should be: a signal that is handled does interrupt them.
  for (int i = 0; i < CALLS; i++) {
    pthread_kill(threads[i], SIGUSR1);
    for (int wait = 0; wait < 200 && !calls[i].returns; wait++)
      usleep(10000);
    if (!calls[i].returns || calls[i].error != EINTR) {
      snprintf(line, sizeof(line), "%s was not interrupted: %d\n", calls[i].name, calls[i].error);
      say(line);
      failures++;
    }
  }
  for (int i = 0; i < 2; i++)
    semctl(semaphores[i], 0, IPC_RMID);
  say(failures ? "disturbed\n" : "undisturbed\n");
  return failures != 0;
}
