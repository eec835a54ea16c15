// The tables of user allocations, for tests.
#include <linux/types.h>

#include "user/outstanding.bpf.h"

#include "native_bpf.h"

struct lt_configuration configuration;

void native_user_begin(const struct lt_configuration *values) {
  configuration = *values;
  NATIVE_MAP(blocks, values->block_buckets);
  NATIVE_MAP(sites, values->site_count);
  NATIVE_MAP(globals, 1);
  NATIVE_MAP(counters, 1);
  NATIVE_MAP(sampling_states, 1);
  NATIVE_MAP(short_stacks, 16);
  NATIVE_MAP(stacks, 16);
}

bool native_block_insert(uint64_t key, uint64_t size, uint32_t site) {
  struct lt_block_payload payload = {.size_and_site = size << LT_SITE_BITS | site,
                                     .time = bpf_ktime_get_ns() & ~LT_LEVEL_MASK};
  return block_insert(key, &payload);
}

bool native_block_take(uint64_t key, uint64_t *size, uint32_t *site) {
  struct lt_block_payload payload;
  if (!block_take(key, &payload))
    return false;
  *size = size_of(&payload);
  *site = site_of(&payload);
  return true;
}

uint64_t native_live_blocks(void) { return lt_load(&global_words()->live_blocks); }

static uint64_t count_keys(bool (*matches)(uint64_t key, uint64_t wanted), uint64_t wanted) {
  uint64_t count = 0;
  for (__u32 index = 0; index < configuration.block_buckets; index++) {
    struct lt_block_bucket *bucket = bpf_map_lookup_elem(&blocks, &index);
    for (__u32 i = 0; i < LT_BUCKET_ENTRIES; i++)
      count += matches(lt_load(&bucket->keys[i]), wanted);
  }
  return count;
}

static bool is_wanted(uint64_t key, uint64_t wanted) { return key == wanted; }
static bool is_block(uint64_t key, [[maybe_unused]] uint64_t wanted) { return key > LT_BLOCK_BUSY; }

uint32_t native_block_copies(uint64_t key) { return (uint32_t)count_keys(is_wanted, key); }
uint64_t native_block_count(void) { return count_keys(is_block, 0); }
uint64_t native_busy_places(void) { return count_keys(is_wanted, LT_BLOCK_BUSY); }

void native_set_level(uint32_t level, uint64_t value) {
  global_words()->level_values[level] = value;
  global_words()->level = level;
}

bool native_should_sample(uint64_t size) { return should_sample(size, current_level()); }

struct native_weight native_weight_of(uint64_t size) {
  struct lt_weight weight = weight_of(size, current_level());
  return (struct native_weight){weight.bytes, weight.count};
}

uint64_t native_stack_hash(const struct lt_stack *stack) { return stack_hash(stack); }
bool native_stack_store(const struct lt_stack *stack, uint64_t hash) { return stack_store(stack, hash); }

struct native_site native_user_site(uint64_t stack, uint32_t process_slot, uint32_t generation, uint32_t epoch,
                                    uint32_t thread) {
  struct lt_site_identity identity = {.stack_hash = stack,
                                      .process_slot = process_slot,
                                      .process_generation = generation,
                                      .epoch = epoch,
                                      .state = LT_SITE_READY,
                                      .thread = thread};
  struct native_site result = {};
  result.index = site_find_or_create(&identity, &result.is_new);
  return result;
}

struct lt_site *native_user_site_at(uint32_t index) {
  return site_at(index);
}
static struct lt_block_payload block_of(uint32_t site, uint64_t size, uint32_t level) {
  return (struct lt_block_payload){.size_and_site = size << LT_SITE_BITS | site, .time = level};
}

void native_site_add(uint32_t index, uint64_t size, uint32_t level) {
  struct lt_block_payload block = block_of(index, size, level);
  site_add(&block);
}

void native_site_subtract(uint32_t index, uint64_t size, uint32_t level) {
  struct lt_block_payload block = block_of(index, size, level);
  site_subtract(&block);
}
