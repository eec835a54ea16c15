#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CProcessTracing.h"

#define ERESTARTNOHAND 514  // the kernel's own: restart the call unless a handler runs
#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

static long options_of(int report) {
  return (report & CPROCESS_REPORT_EXIT ? PTRACE_O_TRACEEXIT : 0) |
         (report & CPROCESS_REPORT_EXEC ? PTRACE_O_TRACEEXEC : 0) |
         (report & CPROCESS_REPORT_CLONE ? PTRACE_O_TRACECLONE : 0) |
         (report & CPROCESS_KILL_WITH_US ? PTRACE_O_EXITKILL : 0) |
         (report & CPROCESS_MARK_SYSCALLS ? PTRACE_O_TRACESYSGOOD : 0);
}

int cprocess_seize(pid_t thread, int report) {
  return ptrace(PTRACE_SEIZE, thread, NULL, (void *)options_of(report)) ? -errno : 0;
}

int cprocess_set_report(pid_t thread, int report) {
  return ptrace(PTRACE_SETOPTIONS, thread, NULL, (void *)options_of(report)) ? -errno : 0;
}

pid_t cprocess_own_thread(void) { return (pid_t)syscall(SYS_gettid); }

int cprocess_interrupt(pid_t thread) { return ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) ? -errno : 0; }

static void classify(int status, cprocess_stop *out) {
  out->status = status;
  if (!WIFSTOPPED(status)) {
    out->kind = CPROCESS_ENDED;
    return;
  }
  int signal = WSTOPSIG(status), event = status >> 16;
  switch (event) {
    case PTRACE_EVENT_STOP:
      out->kind = signal == SIGTRAP ? CPROCESS_STOPPED : CPROCESS_JOB_STOPPED;
      out->signal = signal == SIGTRAP ? 0 : signal;
      return;
    case PTRACE_EVENT_EXEC: out->kind = CPROCESS_EXECUTED; return;
    case PTRACE_EVENT_EXIT: out->kind = CPROCESS_EXITING; return;
    case 0: break;
    default: out->kind = CPROCESS_CLONED; return;
  }
  if (signal == (SIGTRAP | 0x80)) {
    out->kind = CPROCESS_AT_SYSCALL;
    return;
  }
  out->kind = CPROCESS_SIGNALLED;
  out->signal = signal;
}

int cprocess_next_stop(pid_t thread, bool waits, cprocess_stop *out) {
  *out = (cprocess_stop){.thread = thread};
  int status = 0;
  pid_t found;
  do
    found = waitpid(thread, &status, __WALL | __WNOTHREAD | (waits ? 0 : WNOHANG));
  while (found < 0 && errno == EINTR);
  if (found < 0)
    return -errno;
  if (found == 0)
    return 0;
  out->thread = found;
  classify(status, out);
  return 0;
}

int cprocess_resume(pid_t thread, int signal) {
  return ptrace(PTRACE_CONT, thread, NULL, (void *)(long)signal) ? -errno : 0;
}

int cprocess_stay_stopped(pid_t thread) { return ptrace(PTRACE_LISTEN, thread, NULL, NULL) ? -errno : 0; }

int cprocess_restart_call(pid_t thread) { return cprocess_set_result(thread, -ERESTARTNOHAND); }

int cprocess_exit_message(pid_t thread, int *status) {
  unsigned long message = 0;
  if (ptrace(PTRACE_GETEVENTMSG, thread, NULL, &message))
    return -errno;
  *status = (int)message;
  return 0;
}
