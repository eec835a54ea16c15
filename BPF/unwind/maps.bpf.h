// The stack walker's maps, their counters and the scratch memory.
#pragma once

#include "common/core.bpf.h"
#include "unwind_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_unwind_cache);
} lt_unwind_cache SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_unwind_rules);
} lt_unwind_rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_unwind_session);
} lt_unwind_sessions SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, struct lt_unwind_process);
} lt_unwind_processes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LT_UNWIND_MAX_MAPPINGS);
  __type(key, __u32);
  __type(value, struct lt_unwind_mapping);
} lt_unwind_mappings SEC(".maps");

struct lt_unwind_page {
  __u32 words[LT_UNWIND_PAGE_WORDS];
};

// The chunks that hold tables. They differ in size, hence BPF_F_INNER_MAP.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, LT_UNWIND_MAX_CHUNKS);
  __type(key, __u32);
  __array(
      values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
        __uint(max_entries, 1);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(struct lt_unwind_page));
      });
} lt_unwind_chunks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LT_UNWIND_SCRATCHES);
  __type(key, __u32);
  __type(value, struct lt_unwind_scratch);
} lt_unwind_scratches SEC(".maps");

// Indexed by enum lt_unwind_counter.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LT_UNWIND_COUNTER_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} lt_unwind_counters SEC(".maps");

// Holds struct lt_unwind_request.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16384);
} lt_unwind_requests SEC(".maps");

// The walker needs bpf_loop (and bpf_find_vma, which is as old). Where the kernel has neither, its functions are empty, so
// that programs that do without it can be loaded.
enum bpf_func_id___lt_unwind {
  BPF_FUNC_loop___lt_unwind = 1,
};
#define lt_unwind_can_walk() bpf_core_enum_value_exists(enum bpf_func_id___lt_unwind, BPF_FUNC_loop___lt_unwind)

#define LT_UNWIND_VIEW_FIRST(view) ((__u32)(view))
#define LT_UNWIND_VIEW_COUNT(view) ((__u32)((view) >> 32) & 0xffff)
#define LT_UNWIND_VIEW_ADDRESS_SPACE(view) ((view) >> 48)

static __always_inline void lt_unwind_count_many(__u32 counter, __u64 amount) {
  __u64 *count = bpf_map_lookup_elem(&lt_unwind_counters, &counter);

  if (count)
    __sync_fetch_and_add(count, amount);
}

static __always_inline void lt_unwind_count(__u32 counter) { lt_unwind_count_many(counter, 1); }

// Takes one of the CPU's scratch areas, or returns NULL. A program runs on one CPU from start to end, but another task
// may preempt it there and run the same program, so the areas are claimed.
static __always_inline struct lt_unwind_scratch *lt_unwind_claim(void) {
  for (__u32 i = 0; i < LT_UNWIND_SCRATCHES; i++) {
    __u32 key = i;
    struct lt_unwind_scratch *scratch = bpf_map_lookup_elem(&lt_unwind_scratches, &key);
    if (scratch && __sync_val_compare_and_swap(&scratch->busy, 0, 1) == 0)
      return scratch;
  }
  lt_unwind_count(LT_UNWIND_SCRATCH_BUSY);
  return NULL;
}

static __always_inline void lt_unwind_release(struct lt_unwind_scratch *scratch) { scratch->busy = 0; }

// Asks user space to look at the process's mappings, once until it has. After an address that it could not make sense
// of, it wants to hear of new mappings only (address 0).
static __always_inline void lt_unwind_ask(__u32 slot, __u32 generation, __u64 address) {
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  struct lt_unwind_request *request;

  __u32 state = process ? process->requested : LT_UNWIND_REQUEST_PENDING;
  if (state == LT_UNWIND_REQUEST_PENDING || (state == LT_UNWIND_REQUEST_MUTED && address) ||
      __sync_val_compare_and_swap(&process->requested, state, LT_UNWIND_REQUEST_PENDING) != state)
    return;
  request = bpf_ringbuf_reserve(&lt_unwind_requests, sizeof(*request), 0);
  if (!request) {
    process->requested = LT_UNWIND_REQUEST_NONE;
    lt_unwind_count(LT_UNWIND_REQUEST_LOST);
    return;
  }
  request->process_slot = slot;
  request->generation = generation;
  request->process_id = bpf_get_current_pid_tgid() >> 32;
  request->reserved = 0;
  request->address = address;
  bpf_ringbuf_submit(request, 0);
}
