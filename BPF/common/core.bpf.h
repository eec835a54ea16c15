// The few kernel types the programs read, with CO-RE relocations instead of a generated header.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "layouts_abi.h"
#include "registers.bpf.h"

struct mm_struct {
  unsigned long start_stack, exec_vm;
} __attribute__((preserve_access_index));

struct bpf_map {
  __u32 id;
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

// The unit tests compile these headers for the host, with other definitions of what follows (Tests/CNativeBPF).
#ifdef __bpf__
// Set by user space before the program is loaded; the verifier takes it for constant.
#define LT_LOAD_TIME const volatile

// A word that others change at the same time. x86-64 keeps loads in order.
#define lt_load(place) (*(const volatile typeof(*(place)) *)(place))

// `value & mask`, opaque to the compiler: it must not turn a bounded index into a running pointer, whose bound the
// verifier cannot see.
#define lt_bound(value, mask)                              \
  ({                                                       \
    __u64 bounded_ = (value);                              \
    asm volatile("%0 &= %1" : "+r"(bounded_) : "i"(mask)); \
    bounded_;                                              \
  })
#endif

typedef struct {
  int counter;
} atomic_t;

struct signal_struct {
  atomic_t live;
  unsigned int flags;
} __attribute__((preserve_access_index));

struct task_struct___signal {
  struct signal_struct *signal;
} __attribute__((preserve_access_index));
