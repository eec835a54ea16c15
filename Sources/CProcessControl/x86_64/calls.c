// System calls made by a stopped thread on x86-64.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#include "CProcessCalls.h"
#include "CProcessTracing.h"

#define GET_SIGNAL_MASK 0x420a
#define SET_SIGNAL_MASK 0x420b
#define GET_SEQUENCE 0x420f

// struct ptrace_rseq_configuration of the kernel.
struct sequence_configuration {
  uint64_t area;
  uint32_t size, signature, flags, padding;
};
#define SEQUENCE_FIELD 8  // offset of rseq_cs in struct rseq

enum { PATIENCE_MICROSECONDS = 500000, STEP_MICROSECONDS = 20 };

// A thread that does not come to its stop is one that may not run (a frozen control group).
static int wait_for_stop(pid_t thread, cprocess_stop *stop) {
  for (int waited = 0; waited < PATIENCE_MICROSECONDS; waited += STEP_MICROSECONDS) {
    int error = cprocess_next_stop(thread, false, stop);
    if (error)
      return error;
    if (stop->kind == CPROCESS_ENDED)
      return -ESRCH;
    if (stop->kind != CPROCESS_NO_NEWS)
      return 0;
    usleep(STEP_MICROSECONDS);
  }
  return -ETIMEDOUT;
}

// Lets the thread run to the next stop at a system call.
static int run_to_call(pid_t thread) {
  for (int tries = 0; tries < 16; tries++) {
    if (ptrace(PTRACE_SYSCALL, thread, NULL, NULL))
      return -errno;
    cprocess_stop stop;
    int error = wait_for_stop(thread, &stop);
    if (error || stop.kind == CPROCESS_AT_SYSCALL)
      return error;
    // A stop of its process by SIGSTOP, or what was under way when the signals were held back.
  }
  return -EAGAIN;
}

static int run_call(pid_t thread, int64_t *result) {
  int error = run_to_call(thread);
  if (!error)
    error = run_to_call(thread);
  struct user_regs_struct regs;
  if (!error && ptrace(PTRACE_GETREGS, thread, NULL, &regs))
    error = -errno;
  if (!error)
    *result = (int64_t)regs.rax;
  return error;
}

int cprocess_call(pid_t thread, uint64_t instruction, int64_t number, const uint64_t arguments[6], int64_t *result) {
  struct user_regs_struct before;
  uint64_t mask, all = ~0ull;
  if (ptrace(PTRACE_GETREGS, thread, NULL, &before) || ptrace(GET_SIGNAL_MASK, thread, sizeof(mask), &mask) ||
      ptrace(SET_SIGNAL_MASK, thread, sizeof(all), &all))
    return -errno;
  struct user_regs_struct regs = before;
  regs.rip = instruction;
  regs.rax = (uint64_t)number;
  regs.orig_rax = ~0ull;  // in no system call: there is none to be restarted
  regs.rdi = arguments[0];
  regs.rsi = arguments[1];
  regs.rdx = arguments[2];
  regs.r10 = arguments[3];
  regs.r8 = arguments[4];
  regs.r9 = arguments[5];
  int error = ptrace(PTRACE_SETREGS, thread, NULL, &regs) ? -errno : run_call(thread, result);
  if (error == -ETIMEDOUT) {
    cprocess_stop stop;
    cprocess_interrupt(thread);
    wait_for_stop(thread, &stop);
  }
  if (ptrace(PTRACE_SETREGS, thread, NULL, &before) && !error)
    error = -errno;
  if (ptrace(SET_SIGNAL_MASK, thread, sizeof(mask), &mask) && !error)
    error = -errno;
  return error;
}

int cprocess_settle(pid_t thread) {
  if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) || ptrace(PTRACE_CONT, thread, NULL, NULL))
    return -errno;
  cprocess_stop stop;
  return wait_for_stop(thread, &stop);
}

#define GET_CALL_INFO 0x420e
#define CALL_INFO_EXIT 2
struct call_info {  // struct ptrace_syscall_info of the kernel
  uint8_t kind;
  uint8_t rest[127];
};

int cprocess_get_behind_call(pid_t thread) {
  for (int tries = 0; tries < 4; tries++) {
    struct call_info info = {};
    if (ptrace(GET_CALL_INFO, thread, sizeof(info), &info) <= 0)
      return -errno;
    if (info.kind == CALL_INFO_EXIT)
      return 0;
    int error = run_to_call(thread);
    if (error)
      return error;
  }
  return -EAGAIN;
}

bool cprocess_is_in_sequence(pid_t thread) {
  struct sequence_configuration sequence = {};
  if (ptrace(GET_SEQUENCE, thread, sizeof(sequence), &sequence) <= 0 || !sequence.area)
    return false;  // it has none, or the kernel does not tell (before Linux 5.13)
  errno = 0;
  long field = ptrace(PTRACE_PEEKDATA, thread, (void *)(sequence.area + SEQUENCE_FIELD), NULL);
  return errno != 0 || field != 0;
}

int cprocess_poke(pid_t thread, uint64_t address, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    uint64_t start = address & ~7ull, offset = address - start;
    size_t part = 8 - offset < count ? 8 - offset : count;
    errno = 0;
    long word = ptrace(PTRACE_PEEKDATA, thread, (void *)start, NULL);
    if (errno)
      return -errno;
    memcpy((char *)&word + offset, bytes, part);
    if (ptrace(PTRACE_POKEDATA, thread, (void *)start, (void *)word))
      return -errno;
    address += part;
    bytes += part;
    count -= part;
  }
  return 0;
}
