// The registers of a stopped thread on x86-64.
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "CProcessTracing.h"

int cprocess_read_registers(pid_t thread, cprocess_registers *out) {
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, thread, NULL, &regs))
    return -errno;
  *out = (cprocess_registers){
      .values = {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.rsp, regs.r8, regs.r9,
                 regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15, regs.gs_base},
      .stack_pointer = regs.rsp,
      .frame_pointer = regs.rbp,
      .instruction_pointer = regs.rip,
      .thread_base = regs.fs_base,
      .system_call = (int64_t)regs.orig_rax,
  };
  return 0;
}

// The layout of an XSAVE area: 32 bytes of control words; the x87 and XMM registers up to offset 416; reserved bytes
// and the header up to offset 576; then the extensions.
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
