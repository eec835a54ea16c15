// From an allocation in the kernel to its call stack's hash.
#pragma once

#include "kernel_tables.bpf.h"

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

static __always_inline bool is_interrupt(__u64 address) {
  for (__u32 i = 0; i < LT_KERNEL_MAX_RANGES; i++) {
    if (i >= configuration.interrupt_range_count)
      break;
    if (address - configuration.interrupts[i].start < configuration.interrupts[i].end - configuration.interrupts[i].start)
      return true;
  }
  return false;
}

// Hashes the stack up to the frame by which an interrupt came in: what it interrupted did not ask for the memory.
__noinline __u64 hash_and_cut(struct lt_stack *stack) {
  if (!stack)
    return 0;
  __u64 hash = 0;
  __u32 depth = stack->depth;
  for (__u32 i = 0; i < 127; i++) {
    if (i >= depth)
      break;
    __u64 frame = stack->frames[i];
    hash = (hash ^ frame) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
    if (is_interrupt(frame)) {
      stack->depth = i + 1;
      count_one(LT_KERNEL_COUNTER_CUT_AT_INTERRUPT);
      break;
    }
  }
  return lt_mix(hash ^ stack->depth) | 1;
}

// Hash of the running stack, its frames stored; 0 when there was no scratch memory.
static __noinline __u64 store_stack(void *context) {
  struct lt_kernel_scratch *claimed = claim_scratch();
  if (!claimed) {
    count_one(LT_KERNEL_COUNTER_SCRATCH_BUSY);
    return 0;
  }
  struct lt_stack *stack = &claimed->stack;
  long bytes = bpf_get_stack(context, stack->frames, sizeof(stack->frames), 0);
  stack->depth = bytes > 0 ? (__u32)bytes / 8 : 0;
  stack->outcome = stack->depth < 127 ? LT_OUTCOME_COMPLETE : LT_OUTCOME_TRUNCATED;
  __u64 hash = hash_and_cut(stack);
  bool is_short = stack->depth <= LT_SHORT_STACK_DEPTH;
  if (!(is_short ? bpf_map_lookup_elem(&short_stacks, &hash) : bpf_map_lookup_elem(&stacks, &hash))) {
    long error = is_short ? bpf_map_update_elem(&short_stacks, &hash, stack, BPF_NOEXIST)
                          : bpf_map_update_elem(&stacks, &hash, stack, BPF_NOEXIST);
    if (error && error != -17 /* EEXIST: stored on another CPU meanwhile */)
      count_one(LT_KERNEL_COUNTER_STACKS_REFUSED);
  }
  release_scratch(claimed);
  return hash;
}
