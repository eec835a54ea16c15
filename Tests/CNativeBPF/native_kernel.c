// The tables of kernel allocations, for tests. Their maps have the names that those of user allocations have.
#include <linux/types.h>

#define blocks kernel_blocks
#define configuration kernel_configuration
#define counters kernel_counters
#define events kernel_events
#define globals kernel_globals
#define short_stacks kernel_short_stacks
#define sites kernel_sites
#define stacks kernel_stacks

#include "kernel/blocks.bpf.h"

#include "native_bpf.h"

void native_kernel_begin(const struct lt_kernel_configuration *values) {
  configuration = *values;
  NATIVE_MAP(blocks, values->block_buckets);
  NATIVE_MAP(sites, values->site_count);
  NATIVE_MAP(globals, 1);
  NATIVE_MAP(counters, 1);
}

struct native_site native_kernel_site(uint64_t call_site, uint64_t cache, uint64_t stack, uint32_t kmalloc_size,
                                      uint32_t gfp, uint32_t class) {
  struct lt_kernel_identity identity = {.call_site = call_site,
                                        .cache = cache,
                                        .stack_hash = stack,
                                        .kmalloc_size = kmalloc_size,
                                        .gfp = gfp,
                                        .class = class};
  struct native_site result = {};
  result.index = site_find_or_create(&identity, &result.is_new);
  return result;
}

struct lt_kernel_site *native_kernel_site_at(uint32_t index) {
  return site_at(index);
}

bool native_kernel_record(uint64_t address, uint32_t class, uint64_t size, uint32_t site, uint32_t asker) {
  return record(address, class, size, site, asker);
}

bool native_kernel_release(uint64_t address, uint32_t class) { return released(address, class); }

uint64_t native_kernel_counter(enum lt_kernel_counter counter) {
  __u32 zero = 0;
  struct lt_counter_set *set = bpf_map_lookup_elem(&counters, &zero);
  return set->values[counter];
}

uint64_t native_kernel_third_choices(void) { return global_words()->third_choices; }
