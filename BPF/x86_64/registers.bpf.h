// All that the programs know of x86-64: where the kernel saves registers, what the calling conventions put into them,
// and what a call and a signal leave on the stack. Scripts/build-bpf takes the header of this name from the folder of the
// processor that it compiles for.
#pragma once

#include <linux/types.h>

#include "x86_64_abi.h"

// The registers of an interrupted program, as the kernel saves them.
struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
} __attribute__((preserve_access_index));

// What a call puts onto the stack: its return address.
#define LT_RETURN_ADDRESS_BYTES 8

static inline __attribute__((always_inline)) __u64 lt_program_counter(const struct pt_regs *regs) { return regs->ip; }
static inline __attribute__((always_inline)) __u64 lt_stack_pointer(const struct pt_regs *regs) { return regs->sp; }
static inline __attribute__((always_inline)) __u64 lt_frame_pointer(const struct pt_regs *regs) { return regs->bp; }
// What a function or a system call has returned.
static inline __attribute__((always_inline)) __u64 lt_result(const struct pt_regs *regs) { return regs->ax; }

// What a task has for its thread-local storage: in the C libraries the address of the thread's control block.
struct thread_struct {
  unsigned long fsbase;
} __attribute__((preserve_access_index));

struct task_struct___thread {
  struct thread_struct thread;
} __attribute__((preserve_access_index));
#define lt_thread_pointer(task) BPF_CORE_READ((struct task_struct___thread *)(task), thread.fsbase)

// Arguments 0 to 3 of a function that has just been entered, and of a system call: behind the call they still are there.
// `number` is a constant, or the verifier would not know the place.
#define lt_function_argument(regs, number) LT_FUNCTION_ARGUMENT_##number(regs)
#define LT_FUNCTION_ARGUMENT_0(regs) ((__u64)(regs)->di)
#define LT_FUNCTION_ARGUMENT_1(regs) ((__u64)(regs)->si)
#define LT_FUNCTION_ARGUMENT_2(regs) ((__u64)(regs)->dx)
#define LT_FUNCTION_ARGUMENT_3(regs) ((__u64)(regs)->cx)
#define lt_system_call_argument(regs, number) LT_SYSTEM_CALL_ARGUMENT_##number(regs)
#define LT_SYSTEM_CALL_ARGUMENT_0(regs) ((__u64)(regs)->di)
#define LT_SYSTEM_CALL_ARGUMENT_1(regs) ((__u64)(regs)->si)
#define LT_SYSTEM_CALL_ARGUMENT_2(regs) ((__u64)(regs)->dx)
#define LT_SYSTEM_CALL_ARGUMENT_3(regs) ((__u64)(regs)->r10)

// The registers besides the frame pointer that a function keeps for its caller.
static inline __attribute__((always_inline)) void lt_kept_registers(const struct pt_regs *regs, __u64 *out) {
  out[0] = regs->bx;
  out[1] = regs->r12;
  out[2] = regs->r13;
  out[3] = regs->r14;
  out[4] = regs->r15;
}

// The register `which` (enum lt_argument_register), the stack pointer excepted, which holds no argument. The registers are read first: the
// verifier does not allow an offset into the context that it cannot know.
static inline __attribute__((always_inline)) __u64 lt_register_value(const struct pt_regs *regs, __u32 which) {
  __u64 di = regs->di, si = regs->si, dx = regs->dx, cx = regs->cx, r8 = regs->r8, r9 = regs->r9, ax = regs->ax,
        bx = regs->bx, bp = regs->bp, r10 = regs->r10, r11 = regs->r11, r12 = regs->r12, r13 = regs->r13,
        r14 = regs->r14, r15 = regs->r15;
  if (which == LT_REG_DI)
    return di;
  if (which == LT_REG_SI)
    return si;
  if (which == LT_REG_DX)
    return dx;
  asm volatile("" : "+r"(cx), "+r"(r8), "+r"(r9), "+r"(ax));
  asm volatile("" : "+r"(bx), "+r"(bp), "+r"(r10), "+r"(r11));
  asm volatile("" : "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15));
  switch (which) {
    case LT_REG_CX: return cx;
    case LT_REG_R8: return r8;
    case LT_REG_R9: return r9;
    case LT_REG_AX: return ax;
    case LT_REG_BX: return bx;
    case LT_REG_BP: return bp;
    case LT_REG_R10: return r10;
    case LT_REG_R11: return r11;
    case LT_REG_R12: return r12;
    case LT_REG_R13: return r13;
    case LT_REG_R14: return r14;
    default: return r15;
  }
}

// What the kernel leaves of the interrupted registers in a signal frame, and how far from the frame's start (struct
// rt_sigframe without its return address; the order is that of struct sigcontext).
struct lt_signal_registers {
  __u64 frame_pointer, bx, dx, ax, cx, stack_pointer, program_counter;
};
#define LT_SIGNAL_REGISTERS_OFFSET 120
