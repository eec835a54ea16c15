// Calls that come through a gate (the module Gate): one hit behind a call that hands out a block, one before a call that frees
// one, and one more before a reallocation and before a call that may call another function of the gate. No return address is
// replaced, and nothing is noted of other calls on their way in.
#pragma once

#include "common/core.bpf.h"
#include "user/calls.bpf.h"
#include "user/outstanding.bpf.h"
#include "user/processes.bpf.h"
#include "user/sampling.bpf.h"
#include "user/session.bpf.h"
#include "user/thread_state.bpf.h"

#include "allocation_abi.h"

#define PROBABILITY_BITS 20

// Whether a block that the process has chosen is to be recorded at this level. At level 0 the process itself has sampled.
static __noinline bool keeps_chosen(__u64 size, __u32 level) {
  if (!configuration.sample_mean && !samples_one_in_n())
    return should_sample(size, level);
  if (!level)
    return true;
  struct lt_weight chosen, kept;
  weigh(&chosen, size, 0);
  weigh(&kept, size, level);
  // It was chosen with a probability of 1 / chosen, and is to be recorded with one of 1 / kept.
  __u64 likely = kept.count ? (chosen.count << PROBABILITY_BITS) / kept.count : 0;
  return (bpf_get_prandom_u32() & ((1 << PROBABILITY_BITS) - 1)) < likely;
}

// The walk of a call at a gate's place begins in its caller.
static __always_inline bool start_at_caller(const struct pt_regs *regs, struct lt_walk_start *start) {
  start->sp = lt_stack_pointer(regs) + LT_RETURN_ADDRESS_BYTES;
  start->fp = lt_frame_pointer(regs);
  start->kind = LT_UNWIND_PC_RETURN;
  return !bpf_probe_read_user(&start->pc, sizeof(start->pc), (void *)lt_stack_pointer(regs));
}

// Notes a call, and the old block of a reallocation, which another thread can be given as soon as the call has freed it.
static __noinline void enter_gate_call(struct pt_regs *regs, __u64 cookie) {
  __u32 slot = 0;
  struct lt_process *process = process_of(bpf_get_current_pid_tgid() >> 32, &slot);
  if (!process)
    return;
  struct lt_thread_state *state =
      bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!state) {
    count_one(LT_COUNTER_THREAD_STATE_REFUSED);
    return;
  }
  __u64 stack_pointer = lt_stack_pointer(regs) + LT_GATE_RETURN_DISTANCE;
  if (state->stack_pointer) {
    if (is_inside_call(state, process, stack_pointer))
      return;
    count_one(LT_COUNTER_ABANDONED_CALLS);
    state->stack_pointer = 0;
  }
  if (bpf_probe_read_user(&state->return_address, sizeof(__u64), (void *)stack_pointer))
    return;
  __u32 kind = cookie & 0xff;
  bool is_reallocation = kind == LT_REALLOCATE || kind == LT_REALLOCATE_COUNTED;
  __u64 pointer = is_reallocation ? argument(regs, cookie, 0) : 0;
  struct lt_block_payload old_block = {};
  state->has_old_block = pointer && block_take(lt_block_key(pointer, slot, process->generation), &old_block);
  state->old_block = old_block;
  state->counted_unmatched = pointer && !state->has_old_block && !is_sampling();
  if (state->counted_unmatched)
    __sync_fetch_and_add(&process->unmatched_frees, 1);
  state->pointer = pointer;
  state->kind = kind;
  state->may_throw = 0;
  state->probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  state->recent_unmatched_frees = 0;
  state->stack_pointer = stack_pointer;
}

// Ends a call that hands out a block. True when the block is to be recorded.
static __noinline bool end_gate_call(struct pt_regs *regs, __u64 cookie, struct lt_left_call *call) {
  if (!call)
    return false;
  struct lt_process *process = process_of(bpf_get_current_pid_tgid() >> 32, &call->slot);
  if (!process)
    return false;
  count_hit(cookie);
  __u64 size = lt_function_argument(regs, 0), address = lt_function_argument(regs, 1);
  __u64 stack_pointer = lt_stack_pointer(regs);
  if (address >> LT_KEY_ADDRESS_BITS)
    address = 0;  // MAP_FAILED and other error values
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (state && state->stack_pointer == stack_pointer) {
    state->stack_pointer = 0;
    state->size = size;
    settle_call(process, state, call->slot, address);
  } else if (state && state->stack_pointer) {
    if (is_inside_call(state, process, stack_pointer)) {
      count_one(LT_COUNTER_NESTED_CALLS);
      return false;
    }
    count_one(LT_COUNTER_ABANDONED_CALLS);
    state->stack_pointer = 0;
  } else if (!address) {
    __sync_fetch_and_add(&process->failed_allocations, 1);
  }
  __u64 chosen = lt_function_argument(regs, 3);
  if (chosen & LT_GATE_REFUSED) {
    count_one(LT_COUNTER_BLOCKS_REFUSED);
    count_many(LT_COUNTER_BYTES_REFUSED, size);
  }
  if (!address || !(chosen & LT_GATE_CHOSEN_NEW))
    return false;
  if (is_filtered(size)) {
    count_one(LT_COUNTER_FILTERED_BLOCKS);
    return false;
  }
  call->level = current_level();
  if (!keeps_chosen(size, call->level)) {
    count_one(LT_COUNTER_UNSAMPLED_BLOCKS);
    return false;
  }
  forget_missed(lt_block_key(address, call->slot, process->generation));
  call->address = address;
  call->size = size;
  call->generation = process->generation;
  call->probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  return start_at_caller(regs, &call->start);
}

// Begins a call that frees a block. True when the place is to be noted.
static __noinline bool enter_gate_free(struct pt_regs *regs, __u64 cookie, struct lt_freed_block *freed) {
  if (!freed)
    return false;
  struct lt_process *process = process_of(bpf_get_current_pid_tgid() >> 32, &freed->slot);
  if (!process)
    return false;
  count_hit(cookie);
  freed->address = argument(regs, cookie, 0);
  freed->probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  return take_freed(process, freed) && configuration.watches_frees && start_at_caller(regs, &freed->start);
}
