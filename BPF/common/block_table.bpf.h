// The table of outstanding blocks: buckets of eight in one array, so that the hot path makes no map-update call and
// user space reads it through mmap without a system call per entry. Whoever includes this has declared `configuration`,
// which has the number of buckets.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // set before loading
  __type(key, __u32);
  __type(value, struct lt_block_bucket);
} blocks SEC(".maps");

static __always_inline struct lt_block_bucket *bucket_for(__u64 half_hash) {
  __u32 index = (half_hash & 0xffffffff) * configuration.block_buckets >> 32;
  return bpf_map_lookup_elem(&blocks, &index);
}

// Where a block goes when both of its buckets are full. In a table that is three quarters full that happens to a few blocks
// in a million, which would be refused otherwise.
static __always_inline __u64 third_choice(__u64 hash) { return (hash * 0x9e3779b97f4a7c15ull) >> 32; }

// Position of `key` in the bucket, or LT_BUCKET_ENTRIES.
static __always_inline __u32 position_of(struct lt_block_bucket *bucket, __u64 key) {
#pragma unroll
  for (__u32 i = 0; i < LT_BUCKET_ENTRIES; i++)
    if (lt_load(&bucket->keys[i]) == key)
      return i;
  return LT_BUCKET_ENTRIES;
}

// Takes a block out of one bucket. A block is freed once, so whoever swaps the key out owns the payload it read before.
//
// In a table of blocks `with_levels` user space can raise the level of a block at that moment. The level is read again when
// the block is out: user space adds to the totals only what it finds still there.
static __always_inline bool take_from(struct lt_block_bucket *bucket, __u64 key, struct lt_block_payload *out,
                                      bool with_levels) {
  __u32 position = position_of(bucket, key);
  if (position >= LT_BUCKET_ENTRIES)
    return false;
  position &= LT_BUCKET_ENTRIES - 1;
  *out = bucket->payloads[position];
  if (__sync_val_compare_and_swap(&bucket->keys[position], key, 0) != key)
    return false;
  if (with_levels) {
    __u64 time = lt_load(&bucket->payloads[position].time);
    // Not if another block has the place already.
    if ((time ^ out->time) <= LT_LEVEL_MASK)
      out->time = time;
  }
  return true;
}

// Puts the block into the bucket's first empty place: busy mark, payload, then the key that publishes it.
static __always_inline bool put_into(struct lt_block_bucket *bucket, __u64 key,
                                     const struct lt_block_payload *payload) {
#pragma unroll
  for (__u32 i = 0; i < LT_BUCKET_ENTRIES; i++) {
    if (lt_load(&bucket->keys[i]) == 0 && __sync_val_compare_and_swap(&bucket->keys[i], 0, LT_BLOCK_BUSY) == 0) {
      bucket->payloads[i] = *payload;
      // An exchange orders the payload before the key for readers on other CPUs.
      __sync_lock_test_and_set(&bucket->keys[i], key);
      return true;
    }
  }
  return false;
}

static __always_inline __u32 empty_places(struct lt_block_bucket *bucket) {
  __u32 count = 0;
#pragma unroll
  for (__u32 i = 0; i < LT_BUCKET_ENTRIES; i++) {
    // Without a branch: the verifier would follow every combination of full and empty places.
    __u64 key = lt_load(&bucket->keys[i]), used = (key | -key) >> 32;
    barrier_var(used);
    count += 1 - (used >> 31);
  }
  return count;
}

// ---- What a block's payload says --------------------------------------------------------------------------------------

static __always_inline __u32 site_of(const struct lt_block_payload *payload) {
  return payload->size_and_site & (LT_MAX_SITES - 1);
}

static __always_inline __u64 size_of(const struct lt_block_payload *payload) {
  return payload->size_and_site >> LT_SITE_BITS;
}
