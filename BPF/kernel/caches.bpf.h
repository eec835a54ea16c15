// Slab caches: which one a block is from, what it is called, and whether it is one that was asked for.
#pragma once

#include "kernel/tables.bpf.h"

struct kmem_cache {
  const char *name;
  unsigned int flags;
  unsigned int size;
  unsigned int object_size;
} __attribute__((preserve_access_index));

struct page {
  unsigned long flags;
  unsigned long compound_head;
} __attribute__((preserve_access_index));

struct slab {
  struct kmem_cache *slab_cache;
} __attribute__((preserve_access_index));

// Linux 6.9; before, the flag itself was a constant.
enum _slab_flag_bits { _SLAB_RECLAIM_ACCOUNT };
#define OLD_SLAB_RECLAIM_ACCOUNT 0x20000u

static __always_inline bool is_reclaimable(struct kmem_cache *cache) {
  __u32 flags = BPF_CORE_READ(cache, flags);
  if (bpf_core_enum_value_exists(enum _slab_flag_bits, _SLAB_RECLAIM_ACCOUNT))
    return flags >> bpf_core_enum_value(enum _slab_flag_bits, _SLAB_RECLAIM_ACCOUNT) & 1;
  return flags & OLD_SLAB_RECLAIM_ACCOUNT;
}

// Linux 6.13.
extern struct kmem_cache *bpf_get_kmem_cache(__u64 address) __ksym __weak;

// Bytes from which kmalloc takes whole pages.
#define KMALLOC_MAX_CACHE_SIZE 8192

// By way of the block's struct page: older kernels have no function for it. The direct map and the array of struct page
// lie at addresses that differ from boot to boot.
static __always_inline __u64 cache_by_page(__u64 address) {
  __u64 direct_map = 0, pages = 0, head = 0;
  if (!configuration.vmemmap_pointer || !configuration.page_offset_pointer || !bpf_core_type_exists(struct slab))
    return 0;
  bpf_probe_read_kernel(&direct_map, sizeof(direct_map), (void *)configuration.page_offset_pointer);
  bpf_probe_read_kernel(&pages, sizeof(pages), (void *)configuration.vmemmap_pointer);
  if (!direct_map || !pages || address < direct_map)
    return 0;
  __u64 page = pages + ((address - direct_map) >> 12) * bpf_core_type_size(struct page);
  head = BPF_CORE_READ((struct page *)page, compound_head);
  if (head & 1)
    page = head - 1;
  return (__u64)BPF_CORE_READ((struct slab *)page, slab_cache);
}

// The kmem_cache of a block of kmalloc, 0 where it cannot be told. Its tracepoint does not name it, and which one it is
// depends on more than the size: the kernel keeps some callers' blocks apart.
static __always_inline __u64 cache_of_kmalloc(__u64 address, __u32 size) {
  if (size > KMALLOC_MAX_CACHE_SIZE)
    return 0;
  if (bpf_get_kmem_cache)
    return (__u64)bpf_get_kmem_cache(address);
  return cache_by_page(address);
}

// Notes a cache's name. Returns whether its objects are wanted. Called for every new site: another cache may have come to
// lie where one was that has been destroyed.
__noinline int enter_cache(__u64 cache) {
  struct lt_kernel_cache entry = {};
  struct kmem_cache *pointer = (struct kmem_cache *)cache;
  const char *name = BPF_CORE_READ(pointer, name);
  if (bpf_probe_read_kernel_str(entry.name, sizeof(entry.name), name) < 0)
    entry.name[0] = 0;
  entry.is_wanted = !configuration.cache_filter || bpf_map_lookup_elem(&wanted_caches, entry.name) != NULL;
  if (bpf_map_update_elem(&caches, &cache, &entry, BPF_ANY))
    count_one(LT_KERNEL_COUNTER_CACHES_REFUSED);
  return entry.is_wanted;
}

static __always_inline bool is_wanted_size(__u64 size) {
  return size >= configuration.minimum_size && size <= configuration.maximum_size;
}

// Completes a site that has just been entered, and decides once for all of its blocks whether they are wanted.
// `address` is its first block.
__noinline int complete_site(__u32 index, __u64 address) {
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return false;
  bool wanted = !configuration.cache_filter;
  if (site->class == LT_KERNEL_SLAB) {
    if (site->is_kmalloc)
      site->cache = cache_of_kmalloc(address, site->object_size);
    // Read back from the map, from where the verifier takes it for a number.
    __u64 address_of_cache = *(volatile __u64 *)&site->cache;
    if (address_of_cache) {
      // What kmalloc was asked for differs from block to block; what a cache gives does not.
      struct kmem_cache *cache = (struct kmem_cache *)address_of_cache;
      if (is_reclaimable(cache))
        site->flags |= LT_KERNEL_SITE_RECLAIMABLE;
      if (!site->is_kmalloc)
        site->object_size = BPF_CORE_READ(cache, size);
      wanted = enter_cache(address_of_cache) && (site->is_kmalloc || is_wanted_size(BPF_CORE_READ(cache, object_size)));
    } else {
      // User space knows it by its size and flags alone.
      wanted = true;
    }
  }
  return wanted;
}
