// Structs and constants that the BPF programs and the Swift side share.
#pragma once

#include "allocation_abi.h"
#include "frame_abi.h"
#include "kernel_abi.h"
#include "layouts_abi.h"
#include "unwind_abi.h"
#include "unwind_probe_abi.h"
#include "victim_abi.h"

#if defined(__x86_64__)
#include "x86_64_abi.h"
#endif

#ifndef __bpf__
#include <stdbool.h>

// Atomic changes of words that the BPF programs change at the same time; Swift's atomics do not take foreign memory.
static inline bool ctrace_compare_exchange(__u64 *word, __u64 expected, __u64 desired) {
  return __atomic_compare_exchange_n(word, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline void ctrace_subtract(__u64 *word, __u64 amount) { __atomic_fetch_sub(word, amount, __ATOMIC_SEQ_CST); }

static inline __u64 ctrace_fetch_add(__u64 *word, __u64 amount) {
  return __atomic_fetch_add(word, amount, __ATOMIC_SEQ_CST);
}

static inline void ctrace_store(__u64 *word, __u64 value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
static inline void ctrace_store_32(__u32 *word, __u32 value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
static inline __u32 ctrace_load_32(const __u32 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline void ctrace_add_32(__u32 *word, __u32 amount) { __atomic_fetch_add(word, amount, __ATOMIC_SEQ_CST); }
static inline __u64 ctrace_load(const __u64 *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

static inline void ctrace_add_signed(__s64 *word, __s64 amount) { __atomic_fetch_add(word, amount, __ATOMIC_SEQ_CST); }

// Name and meaning of a counter, and whether it tells of a loss.
static inline const char *ctrace_counter_name(int counter) {
  static const char *const names[] = {
#define X(name, text, loss, hides, meaning) text,
      LT_COUNTERS(X)
#undef X
  };
  return names[counter];
}

static inline const char *ctrace_counter_meaning(int counter) {
  static const char *const meanings[] = {
#define X(name, text, loss, hides, meaning) meaning,
      LT_COUNTERS(X)
#undef X
  };
  return meanings[counter];
}

static inline bool ctrace_counter_is_loss(int counter) {
  static const bool losses[] = {
#define X(name, text, loss, hides, meaning) loss,
      LT_COUNTERS(X)
#undef X
  };
  return losses[counter];
}

// Whether blocks can be in use that are not among the outstanding ones because of what it counts.
static inline bool ctrace_counter_hides_blocks(int counter) {
  static const bool hidings[] = {
#define X(name, text, loss, hides, meaning) hides,
      LT_COUNTERS(X)
#undef X
  };
  return hidings[counter];
}

// The same of the kernel programs' counters.
static inline const char *ctrace_kernel_counter_name(int counter) {
  static const char *const names[] = {
#define X(name, text, loss, meaning) text,
      LT_KERNEL_COUNTERS(X)
#undef X
  };
  return names[counter];
}

static inline const char *ctrace_kernel_counter_meaning(int counter) {
  static const char *const meanings[] = {
#define X(name, text, loss, meaning) meaning,
      LT_KERNEL_COUNTERS(X)
#undef X
  };
  return meanings[counter];
}

static inline bool ctrace_kernel_counter_is_loss(int counter) {
  static const bool losses[] = {
#define X(name, text, loss, meaning) loss,
      LT_KERNEL_COUNTERS(X)
#undef X
  };
  return losses[counter];
}

// Name and meaning of a stack walker's counter (enum lt_unwind_counter), which is also a reason for a broken stack.
static inline const char *ctrace_unwind_counter_name(int counter) {
  static const char *const names[] = {"none",
#define X(name, label, meaning) #label,
                                      LT_UNWIND_REASONS(X) LT_UNWIND_EVENTS(X)
#undef X
  };
  return names[counter];
}

static inline const char *ctrace_unwind_counter_meaning(int counter) {
  static const char *const meanings[] = {"",
#define X(name, label, meaning) meaning,
                                         LT_UNWIND_REASONS(X) LT_UNWIND_EVENTS(X)
#undef X
  };
  return meanings[counter];
}
#endif
