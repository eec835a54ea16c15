// From an allocation in the kernel to its call stack.
#pragma once

#include "common/stack_table.bpf.h"
#include "kernel/tables.bpf.h"

#include "unwind_abi.h"

#define SCRATCH_SLOTS 4  // task, softirq, hardirq, and one to spare

struct lt_kernel_scratch {
  __u64 is_claimed;
  struct lt_stack stack;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SCRATCH_SLOTS);  // times the number of CPUs, set before loading
  __type(key, __u32);
  __type(value, struct lt_kernel_scratch);
} scratch SEC(".maps");

static __always_inline struct lt_kernel_scratch *claim_scratch(void) {
  __u32 first = bpf_get_smp_processor_id() * SCRATCH_SLOTS;
  for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
    __u32 index = first + i;
    struct lt_kernel_scratch *found = bpf_map_lookup_elem(&scratch, &index);
    if (found && __sync_val_compare_and_swap(&found->is_claimed, 0, 1) == 0)
      return found;
  }
  return NULL;
}

static __always_inline void release_scratch(struct lt_kernel_scratch *found) {
  __sync_lock_test_and_set(&found->is_claimed, 0);
}

static __always_inline bool is_interrupt_entry(__u64 address) {
  for (__u32 i = 0; i < LT_KERNEL_MAX_RANGES; i++) {
    if (i >= configuration.interrupt_range_count)
      break;
    if (address - configuration.interrupts[i].start <
        configuration.interrupts[i].end - configuration.interrupts[i].start)
      return true;
  }
  return false;
}

// Cuts the stack behind the frame by which an interrupt came in: what it interrupted did not ask for the memory.
__noinline int cut_at_interrupt(struct lt_stack *stack) {
  if (!stack)
    return 0;
  __u32 depth = stack->depth;
  for (__u32 i = 0; i < 127; i++) {
    if (i >= depth)
      break;
    if (is_interrupt_entry(stack->frames[i])) {
      stack->depth = i + 1;
      count_one(LT_KERNEL_COUNTER_CUT_AT_INTERRUPT);
      break;
    }
  }
  return 0;
}

// Whether one of the innermost frames is in a function that was asked for: the callers of allocators whose tracepoints
// do not name them.
__noinline int is_from_wanted_stack(const struct lt_stack *stack) {
  if (!stack)
    return false;
  for (__u32 i = 0; i < 24; i++) {
    if (i >= stack->depth)
      break;
    for (__u32 range = 0; range < LT_KERNEL_MAX_RANGES; range++) {
      if (range >= configuration.call_site_range_count)
        break;
      // A return address can be the end of its function.
      __u64 offset = stack->frames[i] - 1 - configuration.call_sites[range].start;
      if (offset < configuration.call_sites[range].end - configuration.call_sites[range].start)
        return true;
    }
  }
  return false;
}

// The running stack, in scratch memory that is to be released; NULL when it cannot be had.
static __always_inline struct lt_kernel_scratch *take_stack(void *context, bool in_interrupt) {
  struct lt_kernel_scratch *claimed = claim_scratch();
  if (!claimed) {
    count_one(LT_KERNEL_COUNTER_SCRATCH_BUSY);
    return NULL;
  }
  struct lt_stack *stack = &claimed->stack;
  long bytes = bpf_get_stack(context, stack->frames, sizeof(stack->frames), 0);
  if (bytes <= 0) {
    // The kernel keeps registers for three levels of nested programs only.
    count_one(LT_KERNEL_COUNTER_SCRATCH_BUSY);
    release_scratch(claimed);
    return NULL;
  }
  stack->depth = (__u32)bytes / 8;
  stack->outcome = stack->depth < 127 ? LT_OUTCOME_COMPLETE : LT_OUTCOME_TRUNCATED;
  if (in_interrupt || !configuration.knows_interrupts)
    cut_at_interrupt(stack);
  return claimed;
}
