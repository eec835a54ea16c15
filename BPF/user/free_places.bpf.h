// Where blocks are freed as a rule: the stacks of a sample of frees, by the site of the block. It names the path that others
// take and that a leak forgets.
#pragma once

#include "common/core.bpf.h"
#include "unwind/unwind.bpf.h"
#include "user/outstanding.bpf.h"
#include "user/session.bpf.h"
#include "user/stacks.bpf.h"

#include "allocation_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, LT_MAX_FREE_PLACES);
  __type(key, struct lt_free_place);
  __type(value, struct lt_free_count);
} free_places SEC(".maps");

// For how many frees of the site this one stands; 0 when it is not looked at.
static __always_inline __u32 frees_stood_for(const struct lt_site *site) {
  if (lt_load(&site->freed_count) >> LT_COUNT_UNIT_SHIFT <= LT_FREES_LOOKED_AT)
    return 1;
  return bpf_get_prandom_u32() % LT_FREES_PER_SAMPLE ? 0 : LT_FREES_PER_SAMPLE;
}

// A call that has freed a block.
struct lt_freed_block {
  struct lt_walk_start start;
  __u64 address;
  __u32 slot;
  __u32 probe;
  __u32 site;
  __u32 generation;
};

// False when the place is not known yet.
static __always_inline bool add_frees(const struct lt_free_place *place, __u32 frees) {
  struct lt_free_count *count = bpf_map_lookup_elem(&free_places, place);
  if (!count)
    return false;
  __sync_fetch_and_add(&count->frees, frees);
  __sync_fetch_and_add(&count->samples, 1);
  return true;
}

// Adds a walked stack to those that free blocks of the site. A walk that broke off is as good: the innermost frames say who
// frees. Static, so that the verifier knows `stack` as the map value that it is.
static __noinline void count_free(const struct lt_stack *stack, __u32 slot, __u32 index, __u32 frees) {
  struct lt_site *site = site_at(index);
  if (!stack || !site)
    return;
  struct lt_free_place place = {.stack_hash = stack_hash(stack), .site = index, .site_check = site->key >> 32};
  if (add_frees(&place, frees))
    return;
  struct lt_free_count first = {.frees = frees, .samples = 1, .epoch = current_epoch(slot)};
  if (stack_store(stack, place.stack_hash) && !bpf_map_update_elem(&free_places, &place, &first, BPF_NOEXIST))
    return;
  // Another CPU may have been first.
  if (!add_frees(&place, frees))
    count_one(LT_COUNTER_FREE_PLACES_REFUSED);
}

// Walks the stack of a call that frees a block, if the site's turn has come. Before Linux 6.13 the functions of a program
// that are under way share 512 bytes: what is needed only before and after the walk is in functions of their own.
static __noinline void note_free(void *context, const struct lt_freed_block *freed) {
  struct lt_site *site = site_at(freed->site);
  __u32 frees = site ? frees_stood_for(site) : 0;
  struct lt_unwind_scratch *scratch = frees ? lt_unwind_claim() : NULL;
  if (!scratch)
    return;
  walk(context, scratch, &freed->start, freed->slot, freed->generation);
  count_free(&scratch->stack, freed->slot, freed->site, frees);
  lt_unwind_release(scratch);
}
