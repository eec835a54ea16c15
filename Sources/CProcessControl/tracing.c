#define _GNU_SOURCE
#include <errno.h>
#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
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

int cprocess_read_registers(pid_t thread, cprocess_registers *out) {
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, thread, NULL, &regs))
    return -errno;
  *out = (cprocess_registers){
      .general = {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.rsp, regs.r8, regs.r9,
                  regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15},
      .stack_pointer = regs.rsp,
      .instruction_pointer = regs.rip,
      .fs_base = regs.fs_base,
      .gs_base = regs.gs_base,
      .system_call = (int64_t)regs.orig_rax,
  };
  return 0;
}

// The layout of XSAVE: 32 bytes of control words, x87 and XMM registers up to 416, then reserved bytes and the header
// up to 576, then extensions.
#define XSAVE_VALUES 32
#define XSAVE_RESERVED 416
#define XSAVE_EXTENSIONS 576

ptrdiff_t cprocess_read_vector_registers(pid_t thread, uint64_t *words, size_t capacity) {
  static _Thread_local uint64_t area[2048];  // 16 KiB, enough with AMX
  struct iovec part = {.iov_base = area, .iov_len = sizeof(area)};
  if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_X86_XSTATE, &part)) {
    part.iov_len = sizeof(struct user_fpregs_struct);
    if (ptrace(PTRACE_GETFPREGS, thread, NULL, area))
      return -errno;
  }
  size_t stored = 0;
  for (size_t at = XSAVE_VALUES; at + 8 <= part.iov_len && stored < capacity; at += 8)
    if ((at < XSAVE_RESERVED || at >= XSAVE_EXTENSIONS) && area[at / 8])
      words[stored++] = area[at / 8];
  return (ptrdiff_t)stored;
}

int cprocess_set_result(pid_t thread, int64_t result) {
  long offset = offsetof(struct user_regs_struct, rax);
  return ptrace(PTRACE_POKEUSER, thread, (void *)offset, (void *)result) ? -errno : 0;
}

int cprocess_read_syscall(pid_t thread, cprocess_syscall *out) {
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, thread, NULL, &regs))
    return -errno;
  *out = (cprocess_syscall){
      .instruction_pointer = regs.rip,
      .stack_pointer = regs.rsp,
      .number = (int64_t)regs.orig_rax,
      .arguments = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9},
      .result = (int64_t)regs.rax,
  };
  return 0;
}

int cprocess_restart_call(pid_t thread) { return cprocess_set_result(thread, -ERESTARTNOHAND); }

int cprocess_exit_message(pid_t thread, int *status) {
  unsigned long message = 0;
  if (ptrace(PTRACE_GETEVENTMSG, thread, NULL, &message))
    return -errno;
  *status = (int)message;
  return 0;
}
