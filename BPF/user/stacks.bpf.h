// From a call stack to an allocation site: walk, hash, enter. A stack that breaks off for lack of tables is copied to user
// space, which completes it.
#pragma once

#include "common/core.bpf.h"
#include "unwind/samples.bpf.h"
#include "unwind/unwind.bpf.h"
#include "user/outstanding.bpf.h"
#include "user/session.bpf.h"

#include "allocation_abi.h"

// Where a walk begins.
struct lt_walk_start {
  __u64 pc;
  __u64 sp;
  __u64 fp;
  __u32 kind;  // LT_UNWIND_PC_EXACT or LT_UNWIND_PC_RETURN
};

// Follows saved frame pointers, as the kernel does: callers without one are missing.
static __always_inline void walk_frame_pointers(void *context, struct lt_stack *stack) {
  long bytes = bpf_get_stack(context, stack->frames, sizeof(stack->frames), BPF_F_USER_STACK);
  stack->depth = bytes > 0 ? (__u32)bytes / 8 : 0;
  stack->outcome = LT_OUTCOME_FRAME_POINTERS;
}

// Walks the user stack of the running thread in the best way that the trace has.
static __always_inline void walk(void *context, struct lt_unwind_scratch *scratch, const struct lt_walk_start *start,
                                 __u32 slot, __u32 generation) {
  if (configuration.walk_with_tables)
    lt_unwind(scratch, slot, generation, start->pc, start->sp, start->fp, start->kind);
  else
    walk_frame_pointers(context, &scratch->stack);
}

// What the addresses of a stack mean that has just been walked: the walk raises the epoch if it finds code replaced.
static __always_inline __u32 current_epoch(__u32 slot) {
  struct lt_unwind_process *mappings = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  return mappings ? *(volatile __u32 *)&mappings->epoch : 0;
}

// Tells user space the name of a thread that has a new site: it may have ended by the time of a report.
static __noinline void announce_thread(__u32 slot, __u32 thread) {
  struct lt_event event = {.kind = LT_EVENT_THREAD,
                           .process_id = bpf_get_current_pid_tgid() >> 32,
                           .thread_id = thread,
                           .process_slot = slot,
                           .site = LT_NO_SITE};
  bpf_get_current_comm(&event.address, 2 * sizeof(event.address));
  emit_event(&event);
}

// Enters a walked stack into the tables and returns its site, or LT_NO_SITE with the refusal counted. `pending` names a
// stack that is not complete yet, by a number of its own; 0 for others. Static, so that the verifier knows `stack` as the
// map value that it is: before Linux 6.3 no other memory can be put into a map.
static __noinline __u32 site_of_stack(const struct lt_stack *stack, __u32 slot, __u32 generation, __u32 probe,
                                      __u64 pending) {
  if (!stack)
    return LT_NO_SITE;
  struct lt_site_identity identity = {.stack_hash = pending ? pending : stack_hash(stack),
                                      .process_slot = slot,
                                      .process_generation = generation,
                                      .probe = probe,
                                      .epoch = current_epoch(slot),
                                      .state = pending ? LT_SITE_PENDING : LT_SITE_READY,
                                      .thread = configuration.sites_by_thread ? (__u32)bpf_get_current_pid_tgid() : 0};
  bool is_new;
  __u32 site = site_find_or_create(&identity, &is_new);
  if (site == LT_NO_SITE) {
    count_one(LT_COUNTER_SITES_REFUSED);
  } else if (is_new) {
    if (identity.thread)
      announce_thread(slot, identity.thread);
    if (!stack_store(stack, identity.stack_hash))
      count_one(LT_COUNTER_STACKS_REFUSED);
  }
  return site;
}

// Whether a walked stack shows that the call was made inside of another one that came through a gate.
static __noinline bool passes_gate(const struct lt_stack *stack, __u32 slot) {
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  if (!stack || !process)
    return false;
  __u64 start = process->gate_starts[0], size = process->gate_sizes[0];
  __u64 other_start = process->gate_starts[1], other_size = process->gate_sizes[1];
  for (__u32 i = 0; i < LT_GATE_FRAMES && i < stack->depth; i++) {
    __u64 pc = stack->frames[i];
    if (pc - start < size || pc - other_start < other_size)
      return true;
  }
  return false;
}

// Walks the user stack of the running thread from `registers` to its allocation site. `context` is the program's own,
// for the kernel's walker. LT_NESTED_SITE for a call inside of another one.
static __noinline __u32 walk_to_site(void *context, const struct lt_walk_start *start, __u32 slot, __u32 generation,
                                     __u32 probe) {
  struct lt_unwind_scratch *scratch = lt_unwind_claim();
  if (!scratch) {
    count_one(LT_COUNTER_SCRATCH_BUSY);
    return LT_NO_SITE;
  }
  walk(context, scratch, start, slot, generation);
  if (configuration.has_gates && passes_gate(&scratch->stack, slot)) {
    lt_unwind_release(scratch);
    return LT_NESTED_SITE;
  }
  struct lt_unwind_record *sample = configuration.walk_with_tables ? lt_unwind_reserve_sample(scratch) : NULL;
  __u64 pending = sample ? lt_mix(bpf_ktime_get_ns() ^ bpf_get_current_pid_tgid()) | 1 : 0;
  __u32 site = site_of_stack(&scratch->stack, slot, generation, probe, pending);
  if (sample)
    lt_unwind_send_sample(sample, scratch, site, pending);
  lt_unwind_release(scratch);
  return site;
}
