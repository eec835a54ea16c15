// What the walker knows of a process, when the process changes.
#pragma once

#include "common/core.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind_abi.h"

// A fresh address space identifier, so that nothing cached before applies; 0, which is not cached, if none is left.
static __always_inline __u64 lt_unwind_new_address_space(void) {
  __u32 zero = 0;
  struct lt_unwind_session *session = bpf_map_lookup_elem(&lt_unwind_sessions, &zero);
  __u64 identifier = session ? __sync_fetch_and_add(&session->next_address_space, 1) : 0;

  return identifier > LT_UNWIND_MAX_ADDRESS_SPACE ? 0 : identifier;
}

// Gives a view whose mappings were marked as gone a new identifier. The names of what was recorded so far stay those of the
// mappings as they were (lt_unwind_process.epoch). False if another view was published meanwhile.
static __always_inline bool lt_unwind_renew_view(struct lt_unwind_process *process, __u64 view) {
  __sync_fetch_and_add(&process->epoch, 1);
  __u64 new_view = (view & 0xffffffffffffULL) | lt_unwind_new_address_space() << 48;
  return __sync_val_compare_and_swap(&process->view, view, new_view) == view;
}

// The process may have exchanged code in a way that kernels without a count of changes do not show: the next walk is to look.
static __always_inline void lt_unwind_recheck(__u32 slot) {
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);

  if (process)
    __sync_fetch_and_or(&process->validated, LT_UNWIND_STATE_MASK);
}

// The slot's process has a new image, has ended, or is another one.
static __always_inline void lt_unwind_forget(__u32 slot) {
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);

  if (!process)
    return;
  process->view = 0;
  process->requested = LT_UNWIND_REQUEST_NONE;
}

// A forked child starts with its parent's mappings, until user space publishes its own.
static __always_inline void lt_unwind_inherit(__u32 parent_slot, __u32 parent_generation, __u32 child_slot,
                                              __u32 child_generation) {
  struct lt_unwind_process *parent = bpf_map_lookup_elem(&lt_unwind_processes, &parent_slot);
  struct lt_unwind_process *child = bpf_map_lookup_elem(&lt_unwind_processes, &child_slot);

  if (!parent || !child || parent->generation != parent_generation)
    return;
  __u64 view = *(volatile __u64 *)&parent->view;
  *(volatile __u64 *)&child->view = 0;
  *(volatile __u32 *)&child->generation = child_generation;
  child->requested = LT_UNWIND_REQUEST_NONE;
  if (view)
    *(volatile __u64 *)&child->view = (view & 0xffffffffffffULL) | lt_unwind_new_address_space() << 48;
}
