// Counters of every cause of loss, one set per CPU.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"

struct lt_counter_set {
  __u64 values[LT_COUNTER_MAX];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_counter_set);
} counters SEC(".maps");

static __always_inline void count_many(enum lt_counter counter, __u64 amount) {
  __u32 zero = 0;
  struct lt_counter_set *set = bpf_map_lookup_elem(&counters, &zero);
  // Atomic, because a program can be preempted by the same program in another thread of this CPU.
  if (set)
    __sync_fetch_and_add(&set->values[counter], amount);
}

static __always_inline void count_one(enum lt_counter counter) { count_many(counter, 1); }
