#define _GNU_SOURCE
#include "CProcessControl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_child(const char *path, char *const *argv, char *const *envp, int report) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++)
    signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
    execve(path, argv, envp);
  int error = errno;
  ssize_t written = write(report, &error, sizeof(error));
  (void)written;
  _exit(127);
}

pid_t cprocess_spawn_stopped(const char *path, char *const *argv, char *const *envp) {
  int report[2];
  if (pipe2(report, O_CLOEXEC))
    return -errno;
  pid_t child = fork();
  if (child < 0) {
    int error = errno;
    close(report[0]);
    close(report[1]);
    return -error;
  }
  if (child == 0)
    run_child(path, argv, envp, report[1]);
  close(report[1]);
  int error = 0;
  ssize_t count = read(report[0], &error, sizeof(error));
  close(report[0]);
  int status = 0;
  if (waitpid(child, &status, 0) != child)
    return -errno;
  if (count == sizeof(error))
    return -error;
  if (!WIFSTOPPED(status))
    return -ESRCH;
  // Should leaktrace die while it holds the program, the program goes too: it was not yet running on its own.
  ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
  return child;
}

int cprocess_continue_to_syscall(pid_t process, int signal) {
  return ptrace(PTRACE_SYSCALL, process, NULL, (void *)(long)signal) ? -errno : 0;
}

int cprocess_detach(pid_t process, int signal) {
  return ptrace(PTRACE_DETACH, process, NULL, (void *)(long)signal) ? -errno : 0;
}

int cprocess_read_syscall(pid_t process, cprocess_syscall *out) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, process, NULL, &registers))
    return -errno;
  *out = (cprocess_syscall){
      .instruction_pointer = registers.rip,
      .number = registers.orig_rax,
      .arguments = {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9},
      .result = (int64_t)registers.rax,
  };
  return 0;
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

int cprocess_next_signal(int descriptor) {
  struct signalfd_siginfo info;
  return read(descriptor, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

int cprocess_start_guardian(void) {
  int caller = cprocess_open_process(getpid());
  if (caller < 0)
    return caller;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  // Its end is nobody's business: no signal to the parent.
  long guardian = syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);
  if (guardian == 0) {
    setsid();
    prctl(PR_SET_NAME, "lt-guardian");
    struct pollfd wait = {.fd = caller, .events = POLLIN};
    while (poll(&wait, 1, -1) < 0 && errno == EINTR)
      ;
    _exit(0);
  }
  int error = guardian < 0 ? -errno : 0;
  sigprocmask(SIG_SETMASK, &before, NULL);
  return error;
}
