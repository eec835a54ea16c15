// What BPF/programs/oom_victims.bpf.c and user space share.
#pragma once

#include <linux/types.h>

#define LT_COMMAND_BYTES 16

// A process that the OOM killer has marked.
struct lt_victim {
  __u64 time;  // CLOCK_MONOTONIC, nanoseconds
  __u32 process_id;
  __u32 reserved;
  char command[LT_COMMAND_BYTES];  // empty where the kernel does not tell
};
