// From a pc to its rule code: the process's mappings, then the file's table.
#pragma once

#include "common/core.bpf.h"
#include "unwind/frames.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind/returns.bpf.h"
#include "unwind_abi.h"

struct xol_area___lt_unwind {
  unsigned long vaddr;
} __attribute__((preserve_access_index));

struct uprobes_state___lt_unwind {
  struct xol_area___lt_unwind *xol_area;
} __attribute__((preserve_access_index));

struct mm_struct___lt_unwind {
  struct uprobes_state___lt_unwind uprobes_state;
} __attribute__((preserve_access_index));

// One step of a binary search for the first element above a key, among `count` elements from `low` on. `at_or_below`
// is 1 if the element at low + count / 2 is not above the key. No branch: two ways out of each step would double the
// verifier's work nine times over.
#define lt_unwind_halve(low, count, at_or_below)               \
  do {                                                         \
    __u64 half_ = (count) >> 1, mask_ = -(__u64)(at_or_below); \
    barrier_var(mask_);                                        \
    (low) += (half_ + 1) & mask_;                              \
    (count) = half_ - ((1 - ((count)&1)) & mask_);             \
  } while (0)

// The index of the last mapping that starts at or below `address`, counted from `first`; −1 if there is none.
static __always_inline int lt_unwind_find_mapping(__u32 first, __u64 count, __u64 address) {
  __u64 low = 0;

  for (int i = 0; i < 12 && count; i++) {
    __u32 key = first + low + (count >> 1);
    struct lt_unwind_mapping *mapping = bpf_map_lookup_elem(&lt_unwind_mappings, &key);
    if (!mapping)
      break;
    lt_unwind_halve(low, count, (__s64)(mapping->start - address - 1) >> 63 & 1);
  }
  return (int)low - 1;
}

// Whether an address is in executable memory, as far as is published.
static __always_inline bool lt_unwind_is_code(__u64 view, __u64 address) {
  __u32 first = LT_UNWIND_VIEW_FIRST(view);
  int index = lt_unwind_find_mapping(first, LT_UNWIND_VIEW_COUNT(view), address);
  __u32 key = first + index;
  struct lt_unwind_mapping *mapping = index < 0 ? NULL : bpf_map_lookup_elem(&lt_unwind_mappings, &key);

  return mapping && address - mapping->start < mapping->length;
}

static __always_inline __u32 lt_unwind_word(void *chunk, __u32 index) {
  __u32 key = index / LT_UNWIND_PAGE_WORDS;
  struct lt_unwind_page *page = bpf_map_lookup_elem(chunk, &key);

  return page ? page->words[index & (LT_UNWIND_PAGE_WORDS - 1)] : 0;
}

// The rule code for `address`, which `mapping` covers.
static __always_inline __u32 lt_unwind_table_rule(struct lt_unwind_mapping *mapping, __u64 address) {
  __u64 offset = address - mapping->table_start;
  __u32 chunk_index = mapping->chunk, first_word = mapping->first_word;
  __u32 block_count = mapping->block_count;

  if (chunk_index == LT_UNWIND_CHUNK_NONE || offset >> LT_UNWIND_BLOCK_SHIFT >= block_count)
    return LT_UNWIND_RULE_ID_NO_ROW;
  void *chunk = bpf_map_lookup_elem(&lt_unwind_chunks, &chunk_index);
  if (!chunk)
    return LT_UNWIND_RULE_ID_EMPTY;

  __u32 block = first_word + (__u32)(offset >> LT_UNWIND_BLOCK_SHIFT);
  __u64 low = lt_unwind_word(chunk, block), count = lt_unwind_word(chunk, block + 1) - low;
  __u32 rows = first_word + block_count + 1;
  // The greatest row that still starts at or below the offset.
  __u64 key = (__u32)offset << 24 | 0xffffff;

  for (int i = 0; i < 9 && count; i++)
    lt_unwind_halve(low, count, (lt_unwind_word(chunk, rows + low + (count >> 1)) - key - 1) >> 63);
  return low ? lt_unwind_word(chunk, rows + low - 1) & 0xffff : LT_UNWIND_RULE_ID_NO_ROW;
}

// Puts back a return address that a uretprobe replaced by its trampoline, if the current frame's is one.
static __always_inline bool lt_unwind_restore_return(struct lt_unwind_scratch *scratch) {
  __u64 original = lt_unwind_original_return(scratch->sp - 8);

  if (!original || original == scratch->lookup + 1 || original >> LT_UNWIND_ADDRESS_BITS)
    return false;
  scratch->stack.frames[(scratch->stack.depth - 1) & LT_MAX_STACK_DEPTH] = original;
  scratch->lookup = original - 1;
  scratch->stack.outcome |= LT_UNWIND_FLAG_UPROBE;
  lt_unwind_count(LT_UNWIND_RESTORED_RETURN);
  return true;
}

// Whether `address` is in the page that the kernel maps for uprobes.
static __always_inline bool lt_unwind_is_uprobe_page(__u64 address) {
  struct task_struct *task = (void *)bpf_get_current_task();
  struct mm_struct___lt_unwind *memory = NULL;
  struct xol_area___lt_unwind *area = NULL;
  unsigned long start = 0;

  if (!bpf_core_field_exists(memory->uprobes_state.xol_area))
    return false;
  bpf_core_read(&memory, sizeof(memory), &task->mm);
  if (memory)
    bpf_core_read(&area, sizeof(area), &memory->uprobes_state.xol_area);
  if (area)
    bpf_core_read(&start, sizeof(start), &area->vaddr);
  return start && address - start < LT_UNWIND_PAGE_BYTES;
}

// The slow way from scratch->lookup to its rule code: leaves it in the cache, or in scratch->code.
__noinline int lt_unwind_find(struct lt_unwind_scratch *scratch) {
  __u32 zero = 0;
  struct lt_unwind_cache *cache = bpf_map_lookup_elem(&lt_unwind_cache, &zero);
  if (!scratch || !cache)
    return LT_UNWIND_STEP_DONE;

  __u64 lookup = scratch->lookup, view = scratch->view;
  __u32 first = LT_UNWIND_VIEW_FIRST(view), code = LT_UNWIND_RULE_ID_EMPTY;
  int index = lt_unwind_find_mapping(first, LT_UNWIND_VIEW_COUNT(view), lookup);

  lt_unwind_count(LT_UNWIND_CACHE_MISS);
  if (index >= 0) {
    __u32 key = first + index;
    struct lt_unwind_mapping *mapping = bpf_map_lookup_elem(&lt_unwind_mappings, &key);
    if (mapping && lookup - mapping->start < mapping->length) {
      if (mapping->chunk == LT_UNWIND_CHUNK_REFUSED)
        return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_REFUSED_TABLE);
      if (mapping->chunk != LT_UNWIND_CHUNK_GONE)
        code = lt_unwind_table_rule(mapping, lookup);
    }
  }
  if (code == LT_UNWIND_RULE_ID_EMPTY) {
    if (lt_unwind_restore_return(scratch))
      return LT_UNWIND_STEP_AGAIN;
    if (lt_unwind_is_uprobe_page(lookup + 1))
      return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UPROBE_TRAMPOLINE);
    lt_unwind_ask(scratch->process_slot, scratch->generation, lookup);
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UNKNOWN_MAPPING);
  }
  if (!scratch->address_space) {
    scratch->code = code;
    return LT_UNWIND_STEP_SPECIAL;
  }

  __u64 hash = (lookup | scratch->address_space) * LT_UNWIND_CACHE_MULTIPLIER;
  __u64 set = hash >> 47 & (LT_UNWIND_CACHE_WORDS - 2);
  // The newest word of a set comes first; the older one goes.
  cache->words[set | 1] = cache->words[set];
  cache->words[set] = hash << 16 | code;
  return LT_UNWIND_STEP_AGAIN;
}
