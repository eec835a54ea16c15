// Takes the place of libbpf's header of this name, so that the headers in BPF/ compile for the host: maps are arrays,
// helpers are functions of helpers.c, and what programs share with others is atomic in the words of C.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define SEC(name)
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
// Every file of tests has its own copy.
#undef __noinline
#define __noinline static __attribute__((noinline, unused))
#define __ksym
#define __weak __attribute__((weak))
#define barrier_var(variable) asm volatile("" : "+r"(variable))

#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

// What core.bpf.h defines for programs.
#define LT_LOAD_TIME
#ifdef LT_NATIVE_PLAIN_LOADS
#define lt_load(place) (*(place))  // wrong on purpose: ThreadSanitizer must notice
#else
#define lt_load(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#endif
#define lt_bound(value, mask) ((value) & (mask))

// ---- Maps ---------------------------------------------------------------------------------------------------------

// Gives a map its memory: `entries` values of 0, for each CPU where the map is per CPU. Again: empties it.
#define NATIVE_MAP(map, entries) \
  native_map_set(&(map), sizeof(*(map).type) / sizeof(int), sizeof(*(map).key), sizeof(*(map).value), entries)

void native_map_set(const void *map, unsigned long type, size_t key_bytes, size_t value_bytes, size_t entries);
// Entry `key` of a map of maps is `inner`.
void native_map_set_inner(const void *map, __u32 key, const void *inner);
void *native_map_lookup(const void *map, const void *key);
long native_map_update(const void *map, const void *key, const void *value, __u64 flags);
long native_map_delete(const void *map, const void *key);

#define bpf_map_lookup_elem(map, key) native_map_lookup(map, key)
#define bpf_map_update_elem(map, key, value, flags) native_map_update(map, key, value, flags)
#define bpf_map_delete_elem(map, key) native_map_delete(map, key)

// ---- Helpers ------------------------------------------------------------------------------------------------------

struct task_struct;
struct vm_area_struct;

__u64 native_time(void);
__u32 native_random(void);
__u64 native_pid_tgid(void);
__u32 native_cpu(void);
struct task_struct *native_task(void);
long native_probe_read_user(void *out, __u32 size, const void *address);
long native_loop(__u32 rounds, long (*callback)(__u32, void *), void *context);
void *native_ringbuf_reserve(const void *map, __u64 size);
void native_ringbuf_drop(void *record);

#define bpf_ktime_get_ns() native_time()
#define bpf_get_prandom_u32() native_random()
#define bpf_get_current_pid_tgid() native_pid_tgid()
#define bpf_get_smp_processor_id() native_cpu()
#define bpf_get_current_task_btf() native_task()
#define bpf_get_current_task() ((__u64)native_task())
#define bpf_get_current_comm(out, size) __builtin_memset(out, 'c', size)
#define bpf_probe_read_user(out, size, address) native_probe_read_user(out, size, address)
#define bpf_probe_read_kernel(out, size, address) (__builtin_memcpy(out, address, size), 0L)
#define bpf_loop(rounds, callback, context, flags) native_loop(rounds, callback, context)
#define bpf_ringbuf_reserve(map, size, flags) native_ringbuf_reserve(map, size)
#define bpf_ringbuf_submit(record, flags) native_ringbuf_drop(record)
#define bpf_ringbuf_output(map, record, size, flags) ((void)(map), (void)(record), 0L)
// No area is found: mappings count as gone unless they are known to be as they were.
#define bpf_find_vma(task, address, callback, context, flags) ((void)(callback), (void)(context), -2L)
