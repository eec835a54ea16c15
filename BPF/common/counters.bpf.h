// Counters of every cause of loss, one set per CPU. Whoever includes this has defined COUNTER_COUNT: how many counters the
// program has. Which they are is an enum of the program's header in CTraceABI.
#pragma once

#include "common/core.bpf.h"

struct lt_counter_set {
  __u64 values[COUNTER_COUNT];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_counter_set);
} counters SEC(".maps");

static __always_inline void count_many(__u32 counter, __u64 amount) {
  __u32 zero = 0;
  struct lt_counter_set *set = bpf_map_lookup_elem(&counters, &zero);
  // Atomic, because the program can be interrupted by another one on this CPU, or by itself in another thread.
  if (set)
    __sync_fetch_and_add(&set->values[counter], amount);
}

static __always_inline void count_one(__u32 counter) { count_many(counter, 1); }
