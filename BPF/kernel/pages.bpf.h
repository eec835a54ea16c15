// Blocks of pages, which unlike others may be freed in parts.
#pragma once

#define GFP_MOVABLE 0x08u

// How many pages a recorded block has, as a power of two.
static __always_inline __u32 order_of(__u64 size) {
  __u32 order = 0;
  for (__u32 i = 0; i < LT_KERNEL_LARGEST_ORDER; i++)
    if (size > PAGE_BYTES << i)
      order = i + 1;
  return order;
}

static __always_inline void note_splittable(__u32 order, __u32 gfp, __s64 change) {
  struct lt_kernel_globals *words = global_words();
  if (words && order && !(gfp & GFP_COMPOUND))
    __sync_fetch_and_add(&words->splittable[order & 0xf], change);
}

// What a part of a block leaves is recorded as blocks of its own, each half of what is still to be divided, as the page
// allocator itself divides: `head` is the block's first page, 1 << order pages long, and `page` the freed part.
struct split {
  __u64 head, page;
  struct lt_block_payload payload;
  __u32 order, freed_order;
};

__noinline int keep_rest(struct split *split) {
  if (!split)
    return 0;
  __u64 width = bpf_core_type_size(struct page), head = split->head;
  __u32 index = site_of(&split->payload), level = level_of(&split->payload);
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return 0;
  __u32 pieces = 0;
  for (__u32 i = 0; i < LT_KERNEL_LARGEST_ORDER; i++) {
    if (split->order < i + 1 + split->freed_order)
      break;
    __u32 half = (split->order - 1 - i) & 0xf;
    __u64 upper = head + (width << half), rest = split->page >= upper ? head : upper;
    if (split->page >= upper)
      head = upper;
    struct lt_block_payload old = {};
    __u64 size = PAGE_BYTES << half;
    pieces++;
    __sync_fetch_and_add(&site->allocated_count, 1ull << level);
    if (put_block(lt_kernel_key(rest, LT_KERNEL_PAGES), size << LT_SITE_BITS | index, split->payload.time, &old) ==
        PUT_REFUSED) {
      // No room for the rest after all: it counts as gone, and the refusal is shown.
      __sync_fetch_and_add(&site->freed_bytes, size << level);
      __sync_fetch_and_add(&site->freed_count, 1ull << level);
      count_one(LT_KERNEL_COUNTER_BLOCKS_REFUSED);
      count_many(LT_KERNEL_COUNTER_BYTES_REFUSED, size);
    } else {
      note_splittable(half, site->gfp, 1);
    }
  }
  return pieces;
}

// Frees 1 << order pages at `page` out of the block that begins at `head`. False when there is no such block.
static __always_inline bool free_pages_of(__u64 head, __u64 page, __u32 order) {
  struct split split = {.head = head, .page = page, .freed_order = order};
  __u64 key = lt_kernel_key(head, LT_KERNEL_PAGES);
  if (!take_block(key, &split.payload))
    return false;
  __u64 size = size_of(&split.payload);
  __u32 index = site_of(&split.payload);
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return true;
  split.order = order_of(size);
  if (head + ((__u64)bpf_core_type_size(struct page) << split.order) <= page) {
    // It ends before the page: back with it.
    struct lt_block_payload old = {};
    if (put_block(key, split.payload.size_and_site, split.payload.time, &old) == PUT_REFUSED)
      settle(&split.payload);
    return false;
  }
  note_splittable(split.order, site->gfp, -1);
  if (split.order <= order) {
    settle(&split.payload);
    emit(head, &split.payload, true);
    return true;
  }
  count_one(LT_KERNEL_COUNTER_SPLIT_BLOCKS);
  keep_rest(&split);
  __sync_fetch_and_add(&site->freed_bytes, PAGE_BYTES << (order & 0xf) << level_of(&split.payload));
  // The pieces have been counted, and the whole no longer is one.
  __sync_fetch_and_add(&site->allocated_count, -(1ull << level_of(&split.payload)));
  return true;
}

static __noinline bool free_part(__u64 page, __u32 order) {
  // The block began at a page frame whose number is a multiple of its length, and so does the address of its struct
  // page: their array begins at a multiple of a gigabyte.
  __u64 width = bpf_core_type_size(struct page);
  struct lt_kernel_globals *words = global_words();
  if (!words || width & (width - 1))
    return false;
  for (__u32 i = 1; i <= LT_KERNEL_LARGEST_ORDER; i++) {
    if (words->splittable[i] <= 0)
      continue;
    __u64 head = page & ~((width << i) - 1);
    if (free_pages_of(head, page, order))
      return true;
  }
  return false;
}

HOOK(on_page_free, "mm_page_free pages needed tracepoint mm_page_free");
SEC("raw_tp/mm_page_free")
int on_page_free(struct bpf_raw_tracepoint_args *context) {
  __u64 page = context->args[0];
  __u32 order = context->args[1] & 0xf;
  if (!free_pages_of(page, page, order) && !free_part(page, order))
    count_one(LT_KERNEL_COUNTER_UNMATCHED_FREES);
  return 0;
}

HOOK(on_page_alloc, "mm_page_alloc pages needed tracepoint mm_page_alloc");
SEC("raw_tp/mm_page_alloc")
int on_page_alloc(struct bpf_raw_tracepoint_args *context) {
  __u64 page = context->args[0];
  __u32 order = context->args[1] & 0xf, gfp = context->args[2];
  if (!page)
    return 0;
  if (gfp & GFP_MOVABLE) {
    // Page cache and memory of processes: the kernel takes it back when it must, or when they end.
    count_one(LT_KERNEL_COUNTER_MOVABLE_PAGES);
    return 0;
  }
  __u64 size = PAGE_BYTES << order;
  struct lt_kernel_allocation allocation = {
      .address = page, .requested = size, .taken = size, .gfp = gfp, .class = LT_KERNEL_PAGES};
  __u32 asker = 0;
  __u32 index = site_for(context, &allocation, &asker);
  if (index != LT_NO_SITE && record(page, LT_KERNEL_PAGES, size, index, asker))
    note_splittable(order, gfp, 1);
  return 0;
}
