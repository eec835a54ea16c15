// Outstanding blocks of traced programs, the totals of their sites, and the sites' stacks.
#pragma once

#include "common/core.bpf.h"
#include "user/processes.bpf.h"
#include "user/sampling.bpf.h"
#include "user/session.bpf.h"

#include "allocation_abi.h"
#include "common/block_table.bpf.h"

// Takes a block out of the table and copies its payload to `*out`. False when it was not recorded. The totals of its site
// are as they were: the caller subtracts the block (site_subtract) when it knows that the block is gone for good.
// A function of its own for the verifier, which then checks it once and not on every path to it.
__noinline int block_take(__u64 key, struct lt_block_payload *out) {
  if (!out)
    return false;
  __u64 hash = lt_mix(key);
  struct lt_block_bucket *bucket = bucket_for(hash);
  bool found = bucket && take_from(bucket, key, out, true);
  if (!found) {
    bucket = bucket_for(hash >> 32);
    found = bucket && take_from(bucket, key, out, true);
  }
  if (!found) {
    bucket = bucket_for(third_choice(hash));
    found = bucket && take_from(bucket, key, out, true);
  }
  if (!found)
    return false;
  struct lt_globals *shared = global_words();
  if (shared)
    __sync_fetch_and_add(&shared->live_blocks, -1);
  return true;
}

// Tells user space once that the table is filling, until it has made room. The word is read first: it is not written where
// blocks come faster than user space can answer.
static __noinline void ask_for_room(struct lt_globals *shared) {
  if (lt_load(&shared->is_filling) || __sync_val_compare_and_swap(&shared->is_filling, 0, 1))
    return;
  struct lt_event event = {.kind = LT_EVENT_FILLING};
  // Without room for the event, the next block tries again.
  if (!emit_event(&event))
    __sync_lock_test_and_set(&shared->is_filling, 0);
}

// Records a block. False when the table had no place: the caller counts the refusal, and no total includes the block.
__noinline int block_insert(__u64 key, const struct lt_block_payload *payload) {
  if (!payload)
    return false;
  struct lt_globals *shared = global_words();
  __u64 hash = lt_mix(key);
  struct lt_block_bucket *first = bucket_for(hash);
  struct lt_block_bucket *second = bucket_for(hash >> 32);
  if (!shared || !first || !second)
    return false;
  __u64 live = __sync_fetch_and_add(&shared->live_blocks, 1);
  if (configuration.filling_blocks && live >= configuration.filling_blocks)
    ask_for_room(shared);
  if (live >= configuration.maximum_blocks) {
    __sync_fetch_and_add(&shared->live_blocks, -1);
    return false;
  }
  // The emptier bucket first: two choices keep the fullest bucket close to the mean.
  bool swap = empty_places(second) > empty_places(first);
  if (put_into(swap ? second : first, key, payload) || put_into(swap ? first : second, key, payload))
    return true;
  struct lt_block_bucket *third = bucket_for(third_choice(hash));
  if (third && put_into(third, key, payload))
    return true;
  __sync_fetch_and_add(&shared->live_blocks, -1);
  return false;
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // set before loading
  __type(key, __u32);
  __type(value, struct lt_site);
} sites SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct lt_short_stack);
} short_stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, struct lt_stack);
} stacks SEC(".maps");

#include "common/site_table.bpf.h"
#include "common/stack_table.bpf.h"

static __always_inline struct lt_site *site_at(__u32 index) { return bpf_map_lookup_elem(&sites, &index); }

// The totals of a site with a block, which is counted at the block's level.
static __always_inline void site_add(const struct lt_block_payload *block) {
  struct lt_site *site = site_at(site_of(block));
  if (!site)
    return;
  struct lt_weight weight = weight_of(size_of(block), level_of(block));
  __sync_fetch_and_add(&site->allocated_bytes, weight.bytes);
  __sync_fetch_and_add(&site->allocated_count, weight.count);
}

static __always_inline void site_subtract(const struct lt_block_payload *block) {
  struct lt_site *site = site_at(site_of(block));
  if (!site)
    return;
  struct lt_weight weight = weight_of(size_of(block), level_of(block));
  __sync_fetch_and_add(&site->freed_bytes, weight.bytes);
  __sync_fetch_and_add(&site->freed_count, weight.count);
}

struct lt_site_identity {
  __u64 stack_hash;
  __u32 process_slot;
  __u32 process_generation;
  __u32 probe;
  __u32 epoch;
  __u32 state;   // of a new site
  __u32 thread;  // 0 unless sites are by thread
};

// The site's key in the table.
static __always_inline __u64 site_key(const struct lt_site_identity *identity) {
  __u64 owner = (__u64)identity->process_slot << 54 ^ (__u64)identity->process_generation << 32 ^ identity->epoch;
  return lt_mix(identity->stack_hash ^ lt_mix(owner) ^ (__u64)identity->thread << 20) | 1;
}

// Index of the site, entered if it is new (`*is_new` is set then); LT_NO_SITE when the table has no place near its hash.
//
// A function of its own, which the verifier looks at once: it would take seconds otherwise.
__noinline __u32 site_find_or_create(const struct lt_site_identity *identity, bool *is_new) {
  if (!identity || !is_new)
    return LT_NO_SITE;
  __u32 index = site_find_or_claim(site_key(identity), is_new);
  struct lt_site *site = *is_new ? site_at(index) : NULL;
  if (!site)
    return index;
  site->stack_hash = identity->stack_hash;
  site->process_slot = identity->process_slot;
  site->process_generation = identity->process_generation;
  site->probe = identity->probe;
  site->epoch = identity->epoch;
  __sync_lock_test_and_set(&site->state, identity->state | identity->thread << LT_SITE_THREAD_SHIFT);
  return index;
}
