// What BPF/programs/unwind_probe.bpf.c, the harness of the stack walker, shares with the tests and the benchmark.
#pragma once
#include "unwind_abi.h"

#define LT_PROBE_BUCKETS 2048
#define LT_PROBE_BUCKET_NANOSECONDS 4
#define LT_PROBE_STACK_PAGES 64
#define LT_PROBE_KEPT_REGISTERS 5

// What the programs do; set before loading.
struct lt_probe_configuration {
  __u32 walks;
  // The kernel's own walk, too.
  __u32 kernel_walks;
  // 1 of this many events, by chance, is sent as a sample with a copy of the stack; 0: none.
  __u32 sample_period;
  // When to stop the process: LT_PROBE_STOP_….
  __u32 stops;
};
// When a walk lacks a table, so that the next ones do not.
#define LT_PROBE_STOP_FOR_TABLES 1
// After each sample, so that it can be compared before anything changes.
#define LT_PROBE_STOP_FOR_SAMPLES 2

struct lt_probe_totals {
  __u64 events;
  __u64 frames;
  __u64 nanoseconds;
  __u64 kernel_nanoseconds;
  // What reading the clock twice takes of a duration, and how often that was measured.
  __u64 clock_nanoseconds;
  __u64 clock_readings;
  // Indexed by enum lt_unwind_status.
  __u64 statuses[4];
  __u64 with_frame_pointers;
  __u64 stops;
  // Complete stacks by their depth.
  __u64 depths[LT_MAX_STACK_DEPTH + 1];
  // Durations of the walks and of the kernel's own; the last bucket holds all longer ones.
  __u32 histogram[LT_PROBE_BUCKETS];
  __u32 kernel_histogram[LT_PROBE_BUCKETS];
};

// One event: the registers, the stack that was found, and a copy of the stack memory for an independent unwinder.
struct lt_probe_sample {
  __u32 process_id;
  __u32 pc_kind;
  __u32 depth;
  __u32 outcome;
  __u32 process_slot;
  // Identifies the mappings that the walker used.
  __u32 address_space;
  __u64 pc, sp, fp;
  // The other registers that a function keeps for its caller, in the order of their numbers.
  __u64 kept[LT_PROBE_KEPT_REGISTERS];
  __u64 frames[LT_MAX_STACK_DEPTH + 1];
  // Pages copied, from the page that sp is in.
  __u64 stack_pages;
  __u8 stack[LT_PROBE_STACK_PAGES * 4096];
};
