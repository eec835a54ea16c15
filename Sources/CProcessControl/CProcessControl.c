#define _GNU_SOURCE
#include "CProcessControl.h"
#include "CTerminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_child(const char *path, char *const *argv, char *const *envp, int go, int report) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++)
    signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  char byte;
  if (read(go, &byte, 1) != 1)
    _exit(127);
  execve(path, argv, envp);
  int error = errno;
  ssize_t written = write(report, &error, sizeof(error));
  (void)written;
  _exit(127);
}

// Waits until a seized child has carried out execve. Returns 0, or −ESRCH when the child ended before that.
static int wait_for_exec(pid_t child) {
  cprocess_stop stop;
  while (cprocess_next_stop(child, true, &stop) == 0) {
    if (stop.kind == CPROCESS_EXECUTED)
      return 0;
    if (stop.kind == CPROCESS_ENDED)
      return -ESRCH;
    if (stop.kind == CPROCESS_JOB_STOPPED)
      cprocess_stay_stopped(child);
    else
      cprocess_resume(child, stop.kind == CPROCESS_SIGNALLED ? stop.signal : 0);
  }
  return -ESRCH;
}

static pid_t spawn(const char *path, char *const *argv, char *const *envp, const int go[2], const int report[2]) {
  pid_t child = fork();
  if (child < 0)
    return -errno;
  if (child == 0) {
    close(go[1]);
    run_child(path, argv, envp, go[0], report[1]);
  }
  // If leaktrace dies while it holds the program, the program is killed, too: it has not yet run on its own.
  int error = cprocess_seize(child, CPROCESS_REPORT_EXEC | CPROCESS_MARK_SYSCALLS | CPROCESS_KILL_WITH_US);
  if (error == 0 && write(go[1], "", 1) != 1)
    error = -errno;
  if (error == 0)
    error = wait_for_exec(child);
  if (error == 0)
    return child;
  int reason = 0;
  // The child ends now or has ended already: it has reported why the program cannot be run, or was killed by a signal.
  fcntl(report[0], F_SETFL, O_NONBLOCK);
  if (read(report[0], &reason, sizeof(reason)) == sizeof(reason))
    error = -reason;
  kill(child, SIGKILL);
  waitpid(child, NULL, __WALL);
  return error;
}

pid_t cprocess_spawn_stopped(const char *path, char *const *argv, char *const *envp) {
  int go[2], report[2];
  if (pipe2(report, O_CLOEXEC))
    return -errno;
  int result = pipe2(go, O_CLOEXEC) ? -errno : 0;
  if (result == 0) {
    result = spawn(path, argv, envp, go, report);
    close(go[0]);
    close(go[1]);
  }
  close(report[0]);
  close(report[1]);
  return result;
}

int cprocess_continue_to_syscall(pid_t process, int signal) {
  return ptrace(PTRACE_SYSCALL, process, NULL, (void *)(long)signal) ? -errno : 0;
}

int cprocess_detach(pid_t process, int signal) {
  return ptrace(PTRACE_DETACH, process, NULL, (void *)(long)signal) ? -errno : 0;
}

int cprocess_signal_descriptor(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++)
    sigaddset(&set, signals[i]);
  if (sigprocmask(SIG_BLOCK, &set, NULL))
    return -errno;
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_open_process(pid_t process) {
  long descriptor = syscall(SYS_pidfd_open, process, 0);
  return descriptor < 0 ? -errno : (int)descriptor;
}

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

int cprocess_open_thread(pid_t thread) {
  long descriptor = syscall(SYS_pidfd_open, thread, PIDFD_THREAD);
  if (descriptor < 0 && errno == EINVAL)
    descriptor = syscall(SYS_pidfd_open, thread, 0);
  return descriptor < 0 ? -errno : (int)descriptor;
}

int cprocess_next_signal(int descriptor) {
  struct signalfd_siginfo info;
  return read(descriptor, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

// The signal that waits to be read and is to end the process, or 0.
static int waiting_signal(void) {
  sigset_t waiting;
  sigpending(&waiting);
  return sigismember(&waiting, SIGTERM) == 1 ? SIGTERM : sigismember(&waiting, SIGINT) == 1 ? SIGINT : 0;
}

enum { HEARING_STEP = 100, HEARING_MENTION = 900, HEARING_END = 20000 };

static void *hear_signals(void *argument) {
  // A signal that is ignored unless somebody blocks it, as SIGCHLD, would be lost if the kernel offered it to this thread.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  prctl(PR_SET_NAME, "lt-signals");
  struct pollfd wait = {.fd = (int)(intptr_t)argument, .events = POLLIN};
  for (;;) {
    if (poll(&wait, 1, -1) > 0 && wait.revents & POLLNVAL)
      return NULL;
    int number;
    for (int waited = 0; (number = waiting_signal()) != 0; waited += HEARING_STEP) {
      if (waited == HEARING_MENTION) {
        static const char text[] = "leaktrace: told to end; finishing what is under way, for 20 seconds at most\n";
        ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
        (void)written;
      }
      if (waited >= HEARING_END)
        _exit(128 + number);
      usleep(HEARING_STEP * 1000);
    }
    // Another signal that has not been read yet.
    usleep(HEARING_STEP * 1000);
  }
}

int cprocess_hear_signals(int descriptor) {
  // A descriptor of its own, which nobody closes.
  int own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (own < 0)
    return -errno;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, hear_signals, (void *)(intptr_t)own);
  if (error == 0)
    pthread_detach(thread);
  else
    close(own);
  return -error;
}

// Closes every descriptor, from several processes at a time, so that the kernel's waits for them pass together. They have
// the descriptors in common: when the last of the processes ends, the kernel closes what is left.
static void close_everything(void) {
  enum { CLOSERS = 16 };
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit))
    return;
  for (int number = 0; number < CLOSERS; number++) {
    if (syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0) != 0)
      continue;
    for (rlim_t descriptor = 3 + (rlim_t)number; descriptor < limit.rlim_cur && descriptor < 1 << 20;
         descriptor += CLOSERS)
      close((int)descriptor);
    _exit(0);
  }
}

int cprocess_start_guardian(void) {
  int caller = cprocess_open_process(getpid());
  if (caller < 0)
    return caller;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  // The exit signal is 0, so that the parent gets no signal when the guardian ends.
  long guardian = syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);
  if (guardian == 0) {
    setsid();
    prctl(PR_SET_NAME, "lt-guardian");
    struct pollfd wait = {.fd = caller, .events = POLLIN};
    while (poll(&wait, 1, -1) < 0 && errno == EINTR)
      ;
    cterminal_leave();
    close_everything();
    _exit(0);
  }
  int error = guardian < 0 ? -errno : 0;
  sigprocmask(SIG_SETMASK, &before, NULL);
  return error;
}

int cprocess_make_memory_file(const void *bytes, size_t count) {
  int file = memfd_create("leaktrace", MFD_CLOEXEC);
  if (file < 0)
    return -errno;
  size_t written = 0;
  while (written < count) {
    ssize_t now = write(file, (const char *)bytes + written, count - written);
    if (now < 0 && errno == EINTR)
      continue;
    if (now <= 0) {
      int error = now == 0 ? EIO : errno;
      close(file);
      return -error;
    }
    written += (size_t)now;
  }
  lseek(file, 0, SEEK_SET);
  return file;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

int cprocess_seal(int descriptor) { return fcntl(descriptor, F_ADD_SEALS, SEALS) ? -errno : 0; }

bool cprocess_is_sealed(int descriptor) {
  int seals = fcntl(descriptor, F_GET_SEALS);
  return seals >= 0 && (seals & SEALS) == SEALS;
}
