// The call stacks of allocation sites, by their hash. Whoever includes this has defined the maps `short_stacks` and
// `stacks`. A stack is written once, when its first site is new, so ordinary hash maps are fast enough.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "unwind_abi.h"

// The key of a stack in the maps, never 0. A function of its own, which the verifier looks at once.
__noinline __u64 stack_hash(const struct lt_stack *stack) {
  if (!stack)
    return 0;
  __u64 hash = stack->outcome;
  __u32 depth = stack->depth;
  for (__u32 i = 0; i < LT_MAX_STACK_DEPTH; i++) {
    if (i >= depth)
      break;
    hash = lt_hash_frame(hash, stack->frames[i]);
  }
  return lt_finish_stack_hash(hash, depth);
}

// Keeps the frames of a stack. False when there is no room for them. Inlined into static functions, so that the verifier
// knows `stack` as the map value that it is: before Linux 6.3 no other memory can be put into a map.
static __always_inline bool stack_store(const struct lt_stack *stack, __u64 hash) {
  long error = stack->depth <= LT_SHORT_STACK_DEPTH ? bpf_map_update_elem(&short_stacks, &hash, stack, BPF_NOEXIST)
                                                    : bpf_map_update_elem(&stacks, &hash, stack, BPF_NOEXIST);
  return !error || error == -17 /* EEXIST: another site has it, too */;
}
