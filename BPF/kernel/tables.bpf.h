// The tables of kernel allocations: outstanding blocks, call sites, caches, stacks. Everything is allocated beforehand,
// because a map that allocates while an allocation is being traced would trace itself.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "kernel_abi.h"

#define PAGE_BYTES 4096ull

LT_LOAD_TIME struct lt_kernel_configuration configuration SEC(".rodata") = {};

#define COUNTER_COUNT LT_KERNEL_COUNTER_MAX
#include "common/counters.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // set before loading
  __type(key, __u32);
  __type(value, struct lt_kernel_site);
} sites SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, struct lt_kernel_cache);
} caches SEC(".maps");

// The names of the caches that were asked for, unless all were.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, char[LT_KERNEL_CACHE_NAME]);
  __type(value, __u32);
} wanted_caches SEC(".maps");

// The processes that were asked for, where there are several.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LT_KERNEL_MAX_PROCESSES);
  __type(key, __u32);
  __type(value, __u32);
} wanted_processes SEC(".maps");

// The cgroup whose tasks were asked for, unless all were.
struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} cgroups SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);  // set before loading
  __type(key, __u64);
  __type(value, struct lt_short_stack);
} short_stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);  // set before loading
  __type(key, __u64);
  __type(value, struct lt_stack);
} stacks SEC(".maps");

// Processes that have ended, while their memory is looked at.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, struct lt_ended_process);
} ended_processes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_kernel_globals);
} globals SEC(".maps");

static __always_inline struct lt_kernel_globals *global_words(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&globals, &zero);
}

// ---- Per CPU ------------------------------------------------------------------------------------------------------

// How many interrupts, soft ones included, the CPU is inside of.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} interrupt_depths SEC(".maps");

static __always_inline bool is_in_interrupt(void) {
  __u32 zero = 0;
  __u64 *depth = configuration.knows_interrupts ? bpf_map_lookup_elem(&interrupt_depths, &zero) : NULL;
  return depth && *depth > 0;
}

// ---- Sites --------------------------------------------------------------------------------------------------------

#include "common/site_table.bpf.h"

static __always_inline struct lt_kernel_site *site_at(__u32 index) { return bpf_map_lookup_elem(&sites, &index); }

struct lt_kernel_identity {
  __u64 call_site;
  __u64 cache;
  __u64 stack_hash;
  __u32 kmalloc_size;  // bytes that a block of kmalloc takes, else 0
  __u32 gfp;
  __u32 class;
  __u32 reserved;
};

// The flags that tell the memory of one caller apart, besides its size. By __GFP_DMA, __GFP_RECLAIMABLE and __GFP_ACCOUNT
// kmalloc chooses between its caches; pages without __GFP_COMP may be freed in parts.
#define GFP_COMPOUND 0x40000u
#define IDENTIFYING_FLAGS (0x01u | 0x10u | GFP_COMPOUND | 0x400000u)

// The site's key in the table.
static __always_inline __u64 site_key(const struct lt_kernel_identity *identity) {
  __u64 flags = identity->kmalloc_size || identity->class == LT_KERNEL_PAGES ? identity->gfp & IDENTIFYING_FLAGS : 0;
  __u64 shape = (__u64)identity->kmalloc_size << 32 | flags << 3 | identity->class;
  // Different odd factors, so that no two words cancel each other.
  return lt_mix(identity->call_site ^ identity->cache * 0x9e3779b97f4a7c15ull ^
                identity->stack_hash * 0xd6e8feb86659fd93ull ^ shape * 0xa0761d6478bd642full) |
         1;
}

// Index of the site, entered if it is new (`*is_new` is set then); LT_NO_SITE when the table has no place near its hash.
__noinline __u32 site_find_or_create(const struct lt_kernel_identity *identity, bool *is_new) {
  if (!identity || !is_new)
    return LT_NO_SITE;
  __u32 index = site_find_or_claim(site_key(identity), is_new);
  struct lt_kernel_site *site = *is_new ? site_at(index) : NULL;
  if (!site)
    return index;
  site->call_site = identity->call_site;
  site->cache = identity->cache;
  site->stack_hash = identity->stack_hash;
  site->object_size = identity->kmalloc_size;
  site->gfp = identity->gfp;
  site->class = identity->class;
  site->is_kmalloc = identity->kmalloc_size != 0;
  return index;
}
