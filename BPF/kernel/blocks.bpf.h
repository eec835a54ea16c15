// Recording kernel blocks and taking them out.
#pragma once

#include "kernel/tables.bpf.h"

#include "common/block_table.bpf.h"

// Whether any block is in its third bucket, which is nearly never so; else nobody need look there.
static __always_inline bool uses_third_choices(void) {
  struct lt_kernel_globals *words = global_words();
  return words && words->third_choices > 0;
}

static __always_inline void add_third_choices(__u64 change) {
  struct lt_kernel_globals *words = global_words();
  if (words)
    __sync_fetch_and_add(&words->third_choices, change);
}

// Removes a block from the table. False when it was not recorded.
__noinline int take_block(__u64 key, struct lt_block_payload *out) {
  if (!out)
    return false;
  __u64 hash = lt_mix(key);
  struct lt_block_bucket *bucket = bucket_for(hash);
  if (bucket && take_from(bucket, key, out, true))
    return true;
  bucket = bucket_for(hash >> 32);
  if (bucket && take_from(bucket, key, out, true))
    return true;
  if (!uses_third_choices())
    return false;
  bucket = bucket_for(third_choice(hash));
  if (!bucket || !take_from(bucket, key, out, true))
    return false;
  add_third_choices(-1);
  return true;
}

// Puts a new block in the place of one with the same key, which it returns.
static __always_inline bool replace_in(struct lt_block_bucket *bucket, __u64 key, __u64 size_and_site, __u64 time,
                                       struct lt_block_payload *old) {
  __u32 position = position_of(bucket, key) & (2 * LT_BUCKET_ENTRIES - 1);
  if (position >= LT_BUCKET_ENTRIES)
    return false;
  if (__sync_val_compare_and_swap(&bucket->keys[position], key, LT_BLOCK_BUSY) != key)
    return false;
  *old = bucket->payloads[position];
  bucket->payloads[position].size_and_site = size_and_site;
  bucket->payloads[position].time = time;
  __sync_lock_test_and_set(&bucket->keys[position], key);
  return true;
}

enum put_outcome { PUT_REFUSED, PUT_NEW, PUT_REPLACED };

// Puts a block into the table. Where one with its key is there already it takes that one's place, and `*old` is that one.
__noinline int put_block(__u64 key, __u64 size_and_site, __u64 time, struct lt_block_payload *old) {
  if (!old)
    return PUT_REFUSED;
  __u64 hash = lt_mix(key);
  struct lt_block_bucket *first = bucket_for(hash), *second = bucket_for(hash >> 32), *third = NULL;
  if (!first || !second)
    return PUT_REFUSED;
  if (replace_in(first, key, size_and_site, time, old) || replace_in(second, key, size_and_site, time, old))
    return PUT_REPLACED;
  if (uses_third_choices()) {
    third = bucket_for(third_choice(hash));
    if (third && replace_in(third, key, size_and_site, time, old))
      return PUT_REPLACED;
  }
  struct lt_block_payload payload = {.size_and_site = size_and_site, .time = time};
  // The emptier bucket, since two choices keep the fullest close to the mean; but a table is seldom so full that it
  // matters, and then the upper half of the first is empty.
  bool swap = lt_load(&first->keys[LT_BUCKET_ENTRIES / 2]) != 0 && empty_places(second) > empty_places(first);
  if (put_into(swap ? second : first, key, &payload) || put_into(swap ? first : second, key, &payload))
    return PUT_NEW;
  third = bucket_for(third_choice(hash));
  // Counted before it is there, so that nobody who looks for it stops short.
  add_third_choices(1);
  if (third && put_into(third, key, &payload))
    return PUT_NEW;
  add_third_choices(-1);
  return PUT_REFUSED;
}

// ---- Blocks and the totals of their sites -------------------------------------------------------------------------

// How many blocks a recorded one stands for, as a power of two.
static __always_inline __u32 level_of(const struct lt_block_payload *payload) { return payload->time & LT_LEVEL_MASK; }

static __always_inline void settle(const struct lt_block_payload *payload) {
  struct lt_kernel_site *site = site_at(site_of(payload));
  if (!site)
    return;
  __sync_fetch_and_add(&site->freed_bytes, size_of(payload) << level_of(payload));
  __sync_fetch_and_add(&site->freed_count, 1ull << level_of(payload));
}

// ---- Events, when they are to be printed -------------------------------------------------------------------------------

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);  // set before loading
} events SEC(".maps");

static __always_inline void emit(__u64 address, const struct lt_block_payload *payload, bool is_free) {
  if (!configuration.emits_events)
    return;
  __u64 task = bpf_get_current_pid_tgid();
  struct lt_kernel_event event = {
      .time = bpf_ktime_get_ns(),
      .address = address,
      .size = size_of(payload),
      .site = site_of(payload),
      .is_free = is_free,
      .process_id = task >> 32,
      .thread_id = task,
  };
  if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
    count_one(LT_KERNEL_COUNTER_EVENTS_LOST);
}

// ---- Recording and releasing ----------------------------------------------------------------------------------------

// Adds an allocated block to a site and to the table. Returns whether there was room. `asker` is what site_for said of it.
__noinline int record(__u64 address, __u32 class, __u64 size, __u32 index, __u32 asker) {
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return false;
  // The totals first: a block that is freed at once on another CPU must not make them negative.
  __u32 level = asker & LT_LEVEL_MASK;
  __sync_fetch_and_add(&site->allocated_bytes, size << level);
  __sync_fetch_and_add(&site->allocated_count, 1ull << level);
  struct lt_block_payload old = {};
  __u64 time = bpf_ktime_get_ns() >> LT_KERNEL_TIME_UNIT_SHIFT << LT_KERNEL_TIME_SHIFT |
               (asker & ((1u << LT_KERNEL_TIME_SHIFT) - 1));
  struct lt_block_payload payload = {.size_and_site = size << LT_SITE_BITS | (index & (LT_MAX_SITES - 1)),
                                     .time = time};
  int outcome = put_block(lt_kernel_key(address, class), payload.size_and_site, time, &old);
  if (outcome == PUT_REPLACED) {
    // Its free was not seen: in bulk, or missed. The block that was there is gone all the same.
    settle(&old);
    struct lt_kernel_site *previous = site_at(site_of(&old));
    if (previous)
      __sync_fetch_and_add(&previous->reused_count, 1ull << level_of(&old));
    count_one(LT_KERNEL_COUNTER_MISSED_FREES);
  } else if (outcome == PUT_REFUSED) {
    __sync_fetch_and_add(&site->allocated_bytes, -(size << level));
    __sync_fetch_and_add(&site->allocated_count, -(1ull << level));
    count_one(LT_KERNEL_COUNTER_BLOCKS_REFUSED);
    count_many(LT_KERNEL_COUNTER_BYTES_REFUSED, size);
    return false;
  }
  emit(address, &payload, false);
  return true;
}

// Takes a freed block out. Returns whether it was recorded.
__noinline int released(__u64 address, __u32 class) {
  if (!address)
    return false;
  struct lt_block_payload payload = {};
  if (!take_block(lt_kernel_key(address, class), &payload)) {
    count_one(LT_KERNEL_COUNTER_UNMATCHED_FREES);
    return false;
  }
  settle(&payload);
  emit(address, &payload, true);
  return true;
}
