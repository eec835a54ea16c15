// Page faults of a process as the kernel's perf events tell of them, with a copy of the stack of each that is sampled.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// One sampled page fault. The registers are those of user space, also where the kernel met the fault for the program.
typedef struct {
  uint32_t process_id, thread_id;
  uint64_t time;     // CLOCK_MONOTONIC, nanoseconds
  uint64_t address;  // that was not there yet
  uint64_t instruction_pointer, stack_pointer, frame_pointer;
  size_t stack_bytes;  // of the copy, which begins at the stack pointer
} cperf_fault;

enum { CPERF_NOTHING, CPERF_FAULT, CPERF_LOST, CPERF_OTHER };

// Counts minor page faults of a thread and what it starts on one CPU and samples every `period`th of them, once enabled.
// Returns a descriptor, or -errno.
int cperf_open_faults(pid_t thread, int cpu, uint64_t period, uint32_t stack_bytes);
int cperf_enable(int descriptor);
// Lets an event write to the memory of another one of the same CPU. Returns 0 or -errno.
int cperf_redirect(int descriptor, int to);

// Maps the memory that samples are written to: a power of two of pages. Returns NULL and sets errno where that fails.
void *_Nullable cperf_map(int descriptor, size_t pages);
void cperf_unmap(void *memory, size_t pages);

// Takes the next record. CPERF_FAULT fills `fault` and as much of `stack` as it holds, CPERF_LOST adds to `lost`.
int cperf_next(void *memory, size_t pages, cperf_fault *fault, void *stack, size_t capacity, uint64_t *lost);

#pragma clang assume_nonnull end
