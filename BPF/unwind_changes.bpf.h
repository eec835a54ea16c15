// Keeps the walker from using mappings that are no more where the kernel does not count changes of address spaces, so that
// unwind_validation.bpf.h cannot: from the moment of a system call that is probed on; user space catches up later.
// Part of unwind.bpf.h.
#pragma once

#define LT_UNWIND_MAX_UNMAPPED 16

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

// The process unmaps or replaces [start, start + length). Nothing in it is used for a walk any more.
__noinline int lt_unwind_unmapped(__u32 slot, __u32 generation, __u64 start, __u64 length) {
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  if (!process || process->generation != generation || !length)
    return 0;

  __u64 view = *(volatile __u64 *)&process->view, end = start + length;
  __u32 first = LT_UNWIND_VIEW_FIRST(view);
  int index = lt_unwind_find_mapping(first, LT_UNWIND_VIEW_COUNT(view), end - 1), i;
  bool changed = false;

  for (i = 0; i < LT_UNWIND_MAX_UNMAPPED && index >= 0; i++, index--) {
    __u32 key = first + index;
    struct lt_unwind_mapping *mapping = bpf_map_lookup_elem(&lt_unwind_mappings, &key);
    if (!mapping || mapping->start + mapping->length <= start)
      break;
    mapping->chunk = LT_UNWIND_CHUNK_GONE;
    changed = true;
  }
  if (!changed)
    return 0;
  lt_unwind_count(LT_UNWIND_INVALIDATION);
  // Too many at once: forget the process's mappings. User space may have published new ones meanwhile, which stay.
  if (i == LT_UNWIND_MAX_UNMAPPED)
    __sync_val_compare_and_swap(&process->view, view, 0);
  else
    lt_unwind_renew_view(process, view);
  return 0;
}

// The process has new executable memory: user space should look.
static __always_inline void lt_unwind_mapped(__u32 slot, __u32 generation) {
  lt_unwind_ask(slot, generation, 0);
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
static __always_inline void lt_unwind_inherit(__u32 parent_slot, __u32 parent_generation,
                                              __u32 child_slot, __u32 child_generation) {
  struct lt_unwind_process *parent = bpf_map_lookup_elem(&lt_unwind_processes, &parent_slot);
  struct lt_unwind_process *child = bpf_map_lookup_elem(&lt_unwind_processes, &child_slot);

  if (!parent || !child || parent->generation != parent_generation)
    return;
  __u64 view = *(volatile __u64 *)&parent->view;
  *(volatile __u64 *)&child->view = 0;
  *(volatile __u32 *)&child->generation = child_generation;
  child->requested = LT_UNWIND_REQUEST_NONE;
  if (view)
    *(volatile __u64 *)&child->view =
        (view & 0xffffffffffffULL) | lt_unwind_new_address_space() << 48;
}
