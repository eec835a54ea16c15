// What the kernel does for programs, as far as the tests need it.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "native_bpf.h"

#include <bpf/bpf_helpers.h>

// ---- Maps ---------------------------------------------------------------------------------------------------------

#define MOST_MAPS 64
#define MOST_CPUS 16

struct map {
  const void *name;  // the variable that declares it
  unsigned long type;
  size_t key_bytes, value_bytes, entries, used;
  unsigned char *keys, *values;
};

// Filled before threads begin.
static struct map maps[MOST_MAPS];
static size_t map_count;
static pthread_mutex_t hash_lock = PTHREAD_MUTEX_INITIALIZER;

static struct map *find_map(const void *name) {
  for (size_t i = 0; i < map_count; i++)
    if (maps[i].name == name)
      return &maps[i];
  abort();  // a test that forgot a map
}

static bool is_per_cpu(const struct map *map) { return map->type == BPF_MAP_TYPE_PERCPU_ARRAY; }

static bool is_hash(const struct map *map) { return map->type == BPF_MAP_TYPE_HASH; }

void native_map_set(const void *name, unsigned long type, size_t key_bytes, size_t value_bytes, size_t entries) {
  struct map *map = NULL;
  for (size_t i = 0; i < map_count; i++)
    if (maps[i].name == name)
      map = &maps[i];
  if (!map) {
    if (map_count == MOST_MAPS)
      abort();
    map = &maps[map_count++];
  }
  free(map->keys);
  free(map->values);
  *map =
      (struct map){.name = name, .type = type, .key_bytes = key_bytes, .value_bytes = value_bytes, .entries = entries};
  map->keys = calloc(entries, key_bytes);
  // The kernel's maps are aligned to pages; a bucket must at least not be torn.
  size_t bytes = entries * value_bytes * (is_per_cpu(map) ? MOST_CPUS : 1);
  if (posix_memalign((void **)&map->values, 4096, bytes ? bytes : 1) || !map->keys)
    abort();
  memset(map->values, 0, bytes);
}

void native_map_set_inner(const void *name, __u32 key, const void *inner) {
  struct map *map = find_map(name);
  if (key >= map->entries || map->value_bytes < sizeof(inner))
    abort();
  memcpy(map->values + key * map->value_bytes, &inner, sizeof(inner));
}

void *native_map_lookup(const void *name, const void *key) {
  struct map *map = find_map(name);
  if (is_hash(map)) {
    void *found = NULL;
    pthread_mutex_lock(&hash_lock);
    for (size_t i = 0; i < map->used && !found; i++)
      if (!memcmp(map->keys + i * map->key_bytes, key, map->key_bytes))
        found = map->values + i * map->value_bytes;
    pthread_mutex_unlock(&hash_lock);
    return found;
  }
  __u32 index = *(const __u32 *)key;
  if (index >= map->entries)
    return NULL;
  size_t cpu = is_per_cpu(map) ? native_cpu() * map->entries : 0;
  unsigned char *value = map->values + (cpu + index) * map->value_bytes;
  return map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? *(void **)value : value;
}

long native_map_update(const void *name, const void *key, const void *value, __u64 flags) {
  struct map *map = find_map(name);
  if (!is_hash(map))
    return -EINVAL;
  void *found = native_map_lookup(name, key);
  if (found && flags & BPF_NOEXIST)
    return -EEXIST;
  long result = 0;
  pthread_mutex_lock(&hash_lock);
  if (!found && map->used == map->entries) {
    result = -E2BIG;
  } else {
    if (!found) {
      memcpy(map->keys + map->used * map->key_bytes, key, map->key_bytes);
      found = map->values + map->used++ * map->value_bytes;
    }
    memcpy(found, value, map->value_bytes);
  }
  pthread_mutex_unlock(&hash_lock);
  return result;
}

long native_map_delete(const void *name, const void *key) {
  struct map *map = find_map(name);
  void *found = is_hash(map) ? native_map_lookup(name, key) : NULL;
  if (!found)
    return -ENOENT;
  pthread_mutex_lock(&hash_lock);
  size_t index = (size_t)((unsigned char *)found - map->values) / map->value_bytes, last = --map->used;
  memmove(map->keys + index * map->key_bytes, map->keys + last * map->key_bytes, map->key_bytes);
  memmove(found, map->values + last * map->value_bytes, map->value_bytes);
  pthread_mutex_unlock(&hash_lock);
  return 0;
}

// ---- The running task ---------------------------------------------------------------------------------------------

static _Thread_local __u32 current_cpu;
static _Thread_local __u64 random_state = 1;
static _Thread_local __u64 current_time;

void native_set_cpu(uint32_t cpu) { current_cpu = cpu % MOST_CPUS; }
void native_set_random_seed(uint64_t seed) { random_state = seed ? seed : 1; }

__u32 native_cpu(void) { return current_cpu; }
__u64 native_pid_tgid(void) { return (__u64)1000 << 32 | (1000 + current_cpu); }
// A clock that moves only when it is read.
__u64 native_time(void) { return ++current_time; }

// xorshift64*: the same numbers in every run.
__u32 native_random(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 0x2545f4914f6cdd1dull) >> 32;
}

// ---- The task's memory --------------------------------------------------------------------------------------------

static uint64_t memory_start;
static const unsigned char *memory_bytes;
static size_t memory_size;
static uint64_t code_start;
static const unsigned char *code_bytes;
static size_t code_size;

void native_set_memory(uint64_t start, const void *bytes, size_t size) {
  memory_start = start;
  memory_bytes = bytes;
  memory_size = size;
}

void native_set_code(uint64_t start, const void *bytes, size_t size) {
  code_start = start;
  code_bytes = bytes;
  code_size = size;
}

static bool copy_from(uint64_t start, const unsigned char *bytes, size_t held, void *out, __u32 size,
                      const void *address) {
  uint64_t offset = (uint64_t)address - start;
  if (offset > held || size > held - offset)
    return false;
  memcpy(out, bytes + offset, size);
  return true;
}

long native_probe_read_user(void *out, __u32 size, const void *address) {
  if (copy_from(memory_start, memory_bytes, memory_size, out, size, address) ||
      copy_from(code_start, code_bytes, code_size, out, size, address))
    return 0;
  memset(out, 0, size);  // as the kernel does
  return -EFAULT;
}

// ---- Others -------------------------------------------------------------------------------------------------------

long native_loop(__u32 rounds, long (*callback)(__u32, void *), void *context) {
  for (__u32 i = 0; i < rounds; i++)
    if (callback(i, context))
      return i + 1;
  return rounds;
}

void *native_ringbuf_reserve(const void *map, __u64 size) {
  (void)map;
  return calloc(1, size);
}

void native_ringbuf_drop(void *record) { free(record); }
