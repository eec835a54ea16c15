// Which processes are traced, and the ring buffer that tells user space what happens to them.
#pragma once

#include "common/core.bpf.h"
#include "user/session.bpf.h"

#include "allocation_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, struct lt_process);
} processes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_globals);
} globals SEC(".maps");

static __always_inline struct lt_globals *global_words(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&globals, &zero);
}

// Slot by process id.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, __u32);
} process_slots SEC(".maps");

static __always_inline struct lt_process *process_of(__u32 process_id, __u32 *slot) {
  __u32 *found = bpf_map_lookup_elem(&process_slots, &process_id);
  if (!found)
    return NULL;
  *slot = *found;
  return bpf_map_lookup_elem(&processes, slot);
}

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} events SEC(".maps");

// Whether there was room; if not, the loss is counted.
static __always_inline bool emit_event(struct lt_event *event) {
  if (!bpf_ringbuf_output(&events, event, sizeof(*event), 0))
    return true;
  count_one(LT_COUNTER_EVENTS_LOST);
  return false;
}
