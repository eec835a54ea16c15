// From a call stack to an allocation site: walk, hash, enter.
#pragma once

#include "core.bpf.h"

#include "allocation_abi.h"
#include "counters.bpf.h"
#include "outstanding.bpf.h"
#include "unwind_abi.h"

#define SCRATCH_SLOTS 4

struct lt_scratch {
  __u64 claims;  // one bit per slot
  struct lt_stack stacks[SCRATCH_SLOTS];
};

// A task can be preempted inside the program and another one run it on the same CPU, so a buffer is claimed.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_scratch);
} scratch_buffers SEC(".maps");

static __always_inline struct lt_stack *claim_scratch(struct lt_scratch **owner, __u32 *claimed) {
  __u32 zero = 0;
  struct lt_scratch *scratch = bpf_map_lookup_elem(&scratch_buffers, &zero);
  if (!scratch)
    return NULL;
  *owner = scratch;
#pragma unroll
  for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
    __u64 bit = 1ull << i;
    if (!(scratch->claims & bit) && !(__sync_fetch_and_or(&scratch->claims, bit) & bit)) {
      *claimed = i;
      return &scratch->stacks[i];
    }
  }
  return NULL;
}

static __always_inline void release_scratch(struct lt_scratch *owner, __u32 claimed) {
  __sync_fetch_and_and(&owner->claims, ~(1ull << (claimed & (SCRATCH_SLOTS - 1))));
}

static __always_inline __u64 hash_stack(const struct lt_stack *stack) {
  __u64 hash = stack->outcome;
  __u32 depth = stack->depth;
  for (__u32 i = 0; i < LT_MAX_STACK_DEPTH; i++) {
    if (i >= depth)
      break;
    hash = (hash ^ stack->frames[i]) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
  }
  return lt_mix(hash ^ depth) | 1;
}

// Follows saved frame pointers, as the kernel does: callers without one are missing.
static __always_inline void walk_frame_pointers(void *context, struct lt_stack *stack) {
  long bytes = bpf_get_stack(context, stack->frames, sizeof(stack->frames), BPF_F_USER_STACK);
  stack->depth = bytes > 0 ? (__u32)bytes / 8 : 0;
  stack->outcome = LT_OUTCOME_FRAME_POINTERS;
}

// Enters a walked stack into the tables and returns its site, or NO_SITE with the refusal counted.
static __always_inline __u32 site_of_stack(const struct lt_stack *stack, __u32 slot, __u32 generation, __u32 probe) {
  struct lt_site_identity identity = {
      .stack_hash = hash_stack(stack), .process_slot = slot, .process_generation = generation, .probe = probe};
  bool is_new;
  __u32 site = site_find_or_create(&identity, &is_new);
  if (site == NO_SITE) {
    count_one(LT_COUNTER_SITES_REFUSED);
  } else if (is_new) {
    long error = bpf_map_update_elem(&stacks, &identity.stack_hash, stack, BPF_NOEXIST);
    if (error && error != -17 /* EEXIST: another process has the same stack */)
      count_one(LT_COUNTER_STACKS_REFUSED);
  }
  return site;
}

// Walks the user stack of the running thread, as `context` has it, to its allocation site.
static __noinline __u32 walk_to_site(void *context, __u32 slot, __u32 generation, __u32 probe) {
  struct lt_scratch *owner = NULL;
  __u32 claimed = 0;
  struct lt_stack *stack = claim_scratch(&owner, &claimed);
  if (!stack) {
    count_one(LT_COUNTER_SCRATCH_BUSY);
    return NO_SITE;
  }
  walk_frame_pointers(context, stack);
  __u32 site = site_of_stack(stack, slot, generation, probe);
  release_scratch(owner, claimed);
  return site;
}
