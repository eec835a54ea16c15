// What probes on allocator functions have in common, wherever they are: counting hits, blocks that come and go.
#pragma once

#include "common/core.bpf.h"
#include "unwind/unwind.bpf.h"
#include "user/free_places.bpf.h"
#include "user/outstanding.bpf.h"
#include "user/processes.bpf.h"
#include "user/session.bpf.h"
#include "user/stacks.bpf.h"
#include "user/thread_state.bpf.h"

#include "allocation_abi.h"

struct lt_probe_hits {
  __u64 count;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LT_MAX_PROBES);
  __type(key, __u32);
  __type(value, struct lt_probe_hits);
} probe_hits SEC(".maps");

static __always_inline __u64 argument(const struct pt_regs *regs, __u64 cookie, __u32 number) {
  return lt_register_value(regs, cookie >> (LT_COOKIE_REGISTERS_SHIFT + 4 * number) & 0xf);
}

static __always_inline void count_hit(__u64 cookie) {
  __u32 probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  struct lt_probe_hits *hits = bpf_map_lookup_elem(&probe_hits, &probe);
  if (hits)
    __sync_fetch_and_add(&hits->count, 1);
}

static __always_inline bool is_filtered(__u64 size) {
  return size < configuration.minimum_size || size > configuration.maximum_size;
}

static __always_inline void emit_block_event(__u32 kind, __u32 slot, __u64 address, __u64 size, __u32 site,
                                             __u32 probe) {
  if (!configuration.emit_events)
    return;
  __u64 pid_tgid = bpf_get_current_pid_tgid();
  struct lt_event event = {.kind = kind,
                           .process_id = pid_tgid >> 32,
                           .thread_id = (__u32)pid_tgid,
                           .process_slot = slot,
                           .time = bpf_ktime_get_ns(),
                           .address = address,
                           .size = size,
                           .site = site,
                           .probe = probe};
  emit_event(&event);
}

// Carries out what a call that has ended means for the old block that it was given. Returns whether it has handed out a block.
static __noinline bool settle_call(struct lt_process *process, struct lt_thread_state *state, __u32 slot,
                                   __u64 address) {
  if (!process || !state)
    return false;
  if (state->has_old_block) {
    struct lt_block_payload old_block = state->old_block;
    // realloc(p, 0) that returns NULL has freed p; any other NULL left it alone.
    if (!address && state->size != 0) {
      if (!block_insert(lt_block_key(state->pointer, slot, process->generation), &old_block)) {
        site_subtract(&old_block);
        count_one(LT_COUNTER_BLOCKS_REFUSED);
        count_many(LT_COUNTER_BYTES_REFUSED, size_of(&old_block));
      }
    } else {
      site_subtract(&old_block);
      emit_block_event(LT_EVENT_FREED, slot, state->pointer, size_of(&old_block), site_of(&old_block), state->probe);
    }
  }
  if (!address) {
    if (state->counted_unmatched && state->size != 0)
      __sync_fetch_and_add(&process->unmatched_frees, -1);
    __sync_fetch_and_add(&process->failed_allocations, 1);
  }
  return address != 0;
}

// A block that is recorded at an address that has just been handed out was freed unseen.
static __noinline void forget_missed(__u64 key) {
  struct lt_block_payload stale;
  if (!block_take(key, &stale))
    return;
  count_one(LT_COUNTER_MISSED_FREES);
  site_subtract(&stale);
}

// What the end of a call leaves to record_block: all but the stack. These are functions of their own, so that their variables are not
// on the program's stack while the user stack is walked: before Linux 6.13 the functions of a program that are under way
// share 512 bytes.
struct lt_left_call {
  struct lt_walk_start start;
  __u64 address;
  __u64 size;
  __u32 generation;
  __u32 probe;
  __u32 level;
  __u32 slot;
};

// Enters the block of a call that has ended into the table.
static __noinline void record_block(const struct lt_left_call *call, __u32 site) {
  if (site == LT_NESTED_SITE) {
    count_one(LT_COUNTER_NESTED_CALLS);
    return;
  }
  struct lt_block_payload payload = {.size_and_site = call->size << LT_SITE_BITS | site,
                                     .time = (bpf_ktime_get_ns() & ~LT_LEVEL_MASK) | (call->level & LT_LEVEL_MASK)};
  if (site == LT_NO_SITE || call->size >> (64 - LT_SITE_BITS) ||
      !block_insert(lt_block_key(call->address, call->slot, call->generation), &payload)) {
    count_one(LT_COUNTER_BLOCKS_REFUSED);
    count_many(LT_COUNTER_BYTES_REFUSED, call->size);
    return;
  }
  site_add(&payload);
  emit_block_event(LT_EVENT_ALLOCATED, call->slot, call->address, call->size, site, call->probe);
}

// Takes a block that is freed out of the table. True when it was there.
static __noinline bool take_freed(struct lt_process *process, struct lt_freed_block *freed) {
  if (!process || !freed)
    return false;
  struct lt_block_payload block;
  if (block_take(lt_block_key(freed->address, freed->slot, process->generation), &block)) {
    site_subtract(&block);
    emit_block_event(LT_EVENT_FREED, freed->slot, freed->address, size_of(&block), site_of(&block), freed->probe);
    freed->site = site_of(&block);
    freed->generation = process->generation;
    return true;
  }
  if (is_sampling())
    return false;
  struct lt_thread_state *state =
      bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  // A realloc that frees its old block through the probed function: the entry of realloc took it already.
  if (state && state->stack_pointer && state->has_old_block && state->pointer == freed->address)
    return false;
  __sync_fetch_and_add(&process->unmatched_frees, 1);
  if (state)
    state->recent_unmatched_frees++;
  return false;
}
