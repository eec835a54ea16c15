// What a kernel allows, found by trying: each function does the thing once and undoes it.
#pragma once

#include <stdint.h>

#pragma clang assume_nonnull begin

// How a program is loaded.
enum ccapability_program {
  CCAPABILITY_UPROBE,
  CCAPABILITY_UPROBE_MULTI,
  CCAPABILITY_UPROBE_SESSION,
  CCAPABILITY_RAW_TRACEPOINT,
  CCAPABILITY_FENTRY,
  CCAPABILITY_TASK_ITERATOR,
};

// Loads a program that only returns 0. A descriptor or −errno.
int ccapability_load(enum ccapability_program program);

// Makes and closes a map. 0 or −errno.
int ccapability_ring_buffer(void);
int ccapability_mappable_array(void);

// Attaches an fentry program to a kernel function, and takes it off. 0 or −errno.
int ccapability_attach_fentry(void);

// Runs an iterator over the calling task. 0 or −errno.
int ccapability_run_task_iterator(void);

// Seizes a child of ours and interrupts it, as a leak check does. 0 or −errno.
int ccapability_ptrace(void);

// Functions to be probed, whose first instruction the kernel emulates (push), or single-steps (test).
void ccapability_emulated(void);
void ccapability_stepped(void);

// Nanoseconds that a call of one of them takes on average.
double ccapability_nanoseconds_per_call(void (*function)(void), uint32_t calls);

#pragma clang assume_nonnull end
