// The few kernel types the programs read, with CO-RE relocations instead of a generated header.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

// The x86-64 user registers as the kernel saves them.
struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
      flags, sp, ss;
} __attribute__((preserve_access_index));

struct mm_struct {
  unsigned long start_stack, exec_vm;
} __attribute__((preserve_access_index));

struct task_struct {
  int pid;
  int tgid;
  unsigned int flags;
  struct mm_struct *mm;
  struct task_struct *group_leader;
  struct task_struct *real_parent;
} __attribute__((preserve_access_index));

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef struct {
  int counter;
} atomic_t;

struct signal_struct {
  atomic_t live;
} __attribute__((preserve_access_index));

struct task_struct___signal {
  struct signal_struct *signal;
} __attribute__((preserve_access_index));
