// Outstanding kernel allocations by caller, cache and process, and by call stack for those that are asked for.
//
// Every program does one of two things: it records a block (`allocated`) or takes one out (`released`). They run in any
// context, interrupts included, and so touch only memory that exists already.
#include "kernel_stacks.bpf.h"

struct kmem_cache {
  const char *name;
  unsigned int flags;
  unsigned int size;
  unsigned int object_size;
} __attribute__((preserve_access_index));

struct vmap_area {
  unsigned long va_start;
  unsigned long va_end;
} __attribute__((preserve_access_index));

struct lt_kernel_allocation {
  __u64 address;
  __u64 requested;  // bytes asked for
  __u64 taken;      // bytes it costs
  __u64 call_site;
  __u64 cache;
  __u32 gfp;
  __u32 class;
};

// ---- Which ones ---------------------------------------------------------------------------------------------------

static __always_inline bool is_from_wanted_caller(__u64 call_site) {
  if (!configuration.call_site_range_count)
    return true;
  for (__u32 i = 0; i < LT_KERNEL_MAX_RANGES; i++) {
    if (i >= configuration.call_site_range_count)
      break;
    // A return address can be the end of its function.
    __u64 offset = call_site - 1 - configuration.call_sites[i].start;
    if (offset < configuration.call_sites[i].end - configuration.call_sites[i].start)
      return true;
  }
  return false;
}

static __always_inline bool has_wanted_comm(void) {
  char comm[16] = {};
  bpf_get_current_comm(comm, sizeof(comm));
  const volatile __u64 *wanted = (const volatile __u64 *)configuration.comm;
  return *(__u64 *)comm == wanted[0] && *(__u64 *)(comm + 8) == wanted[1];
}

static __always_inline bool is_wanted(const struct lt_kernel_allocation *allocation, __u32 process_id) {
  if (process_id == configuration.own_process_id)
    return false;
  if (configuration.process_id && process_id != configuration.process_id)
    return false;
  if (allocation->requested < configuration.minimum_size || allocation->requested > configuration.maximum_size)
    return false;
  if (configuration.cgroup && bpf_get_current_ancestor_cgroup_id(configuration.cgroup_level) != configuration.cgroup)
    return false;
  if (configuration.has_comm && !has_wanted_comm())
    return false;
  return allocation->class == LT_KERNEL_PAGES || is_from_wanted_caller(allocation->call_site);
}

// Learns a cache by its first object. Returns whether its objects are wanted.
__noinline int enter_cache(__u64 cache) {
  struct lt_kernel_cache entry = {};
  struct kmem_cache *pointer = (struct kmem_cache *)cache;
  const char *name = BPF_CORE_READ(pointer, name);
  bpf_probe_read_kernel_str(entry.name, sizeof(entry.name), name);
  entry.flags = BPF_CORE_READ(pointer, flags);
  entry.size = BPF_CORE_READ(pointer, size);
  entry.object_size = BPF_CORE_READ(pointer, object_size);
  entry.is_wanted = !configuration.cache_filter || bpf_map_lookup_elem(&wanted_caches, entry.name) != NULL;
  bpf_map_update_elem(&caches, &cache, &entry, BPF_ANY);
  return entry.is_wanted;
}

static __always_inline bool is_wanted_cache(const struct lt_kernel_identity *identity) {
  if (identity->class != LT_KERNEL_SLAB)
    return !configuration.cache_filter;
  if (identity->cache) {
    struct lt_kernel_cache *known = bpf_map_lookup_elem(&caches, &identity->cache);
    return known ? known->is_wanted : enter_cache(identity->cache);
  }
  // kmalloc's caches are known by what user space makes of the size and the flags: it takes out what was not wanted.
  return true;
}

// ---- Recording ----------------------------------------------------------------------------------------------------

static __always_inline __u32 enter_site(const struct lt_kernel_identity *identity) {
  bool is_new;
  __u32 index = site_find_or_create(identity, &is_new);
  if (index == NO_SITE || !is_new)
    return index;
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return NO_SITE;
  if (!is_wanted_cache(identity))
    site->flags |= LT_KERNEL_SITE_IGNORED;
  __sync_lock_test_and_set(&site->is_ready, 1);
  return index;
}

static __always_inline void settle(const struct lt_block_payload *payload) {
  struct lt_kernel_site *site = site_at(payload->size_and_site & (LT_MAX_SITES - 1));
  if (!site)
    return;
  __sync_fetch_and_add(&site->freed_bytes, payload->size_and_site >> LT_SITE_BITS);
  __sync_fetch_and_add(&site->freed_count, 1);
}

static __noinline void allocated(void *context, const struct lt_kernel_allocation *allocation) {
  if (!allocation || !allocation->address)
    return;
  __u32 process_id = bpf_get_current_pid_tgid() >> 32;
  if (!is_wanted(allocation, process_id)) {
    count_one(LT_KERNEL_COUNTER_FILTERED_BLOCKS);
    return;
  }
  struct lt_kernel_identity identity = {
      .call_site = allocation->call_site,
      .cache = allocation->cache,
      .object_size = allocation->class == LT_KERNEL_SLAB ? allocation->taken : 0,
      .gfp = allocation->gfp,
      .class = allocation->class,
  };
  __u32 index = enter_site(&identity);
  struct lt_kernel_site *site = index == NO_SITE ? NULL : site_at(index);
  if (!site) {
    count_one(LT_KERNEL_COUNTER_SITES_REFUSED);
    return;
  }
  if (site->flags & LT_KERNEL_SITE_IGNORED) {
    count_one(LT_KERNEL_COUNTER_FILTERED_BLOCKS);
    return;
  }
  // Without a caller only the stack says who asked.
  bool wants_stack = configuration.all_stacks || site->flags & LT_KERNEL_SITE_WANTS_STACK ||
                     (!allocation->call_site && !configuration.no_stacks);
  if (wants_stack) {
    identity.stack_hash = store_stack(context);
    if (identity.stack_hash) {
      __u32 exact = enter_site(&identity);
      struct lt_kernel_site *exact_site = exact == NO_SITE ? NULL : site_at(exact);
      if (exact_site) {
        index = exact;
        site = exact_site;
      } else {
        count_one(LT_KERNEL_COUNTER_SITES_REFUSED);
      }
    }
  }
  __u64 key = lt_kernel_key(allocation->address, allocation->class);
  struct lt_block_payload old;
  if (block_take(key, &old)) {
    // Its free was not seen: in bulk, or missed. The block that was there is gone all the same.
    settle(&old);
    struct lt_kernel_site *previous = site_at(old.size_and_site & (LT_MAX_SITES - 1));
    if (previous)
      __sync_fetch_and_add(&previous->reused_count, 1);
    count_one(LT_KERNEL_COUNTER_MISSED_FREES);
  }
  struct lt_block_payload payload = {
      .size_and_site = allocation->taken << LT_SITE_BITS | index,
      .time = bpf_ktime_get_ns() >> LT_KERNEL_TIME_UNIT_SHIFT << LT_KERNEL_PROCESS_BITS |
              (process_id & ((1u << LT_KERNEL_PROCESS_BITS) - 1)),
  };
  // The totals first: a block that is freed at once on another CPU must not make them negative.
  __sync_fetch_and_add(&site->allocated_bytes, allocation->taken);
  __sync_fetch_and_add(&site->allocated_count, 1);
  if (!block_insert(key, &payload)) {
    __sync_fetch_and_add(&site->allocated_bytes, -allocation->taken);
    __sync_fetch_and_add(&site->allocated_count, -1);
    count_one(LT_KERNEL_COUNTER_BLOCKS_REFUSED);
    count_many(LT_KERNEL_COUNTER_BYTES_REFUSED, allocation->taken);
  }
}

__noinline int released(__u64 address, __u32 class) {
  if (!address)
    return false;
  struct lt_block_payload payload;
  if (!block_take(lt_kernel_key(address, class), &payload)) {
    count_one(LT_KERNEL_COUNTER_UNMATCHED_FREES);
    return false;
  }
  settle(&payload);
  return true;
}

// One argument of a tracepoint. Behind a barrier, or the compiler would choose between addresses in the context instead
// of between values, which the verifier refuses. Read it only on a path that the kernel's version takes: a program that
// reads more arguments than a tracepoint has cannot be attached to it.
#define ARGUMENT(number)                                   \
  ({                                                       \
    __u64 argument = context->args[number];                \
    barrier_var(argument);                                 \
    argument;                                              \
  })

// ---- Slab ---------------------------------------------------------------------------------------------------------

SEC("raw_tp/kmalloc")
int on_kmalloc(struct bpf_raw_tracepoint_args *context) {
  struct lt_kernel_allocation allocation = {
      .address = ARGUMENT(1), .call_site = ARGUMENT(0), .class = LT_KERNEL_SLAB};
  if (configuration.kmalloc_has_cache) {
    allocation.requested = ARGUMENT(3);
    allocation.taken = ARGUMENT(4);
    allocation.gfp = ARGUMENT(5);
  } else {
    allocation.requested = ARGUMENT(2);
    allocation.taken = ARGUMENT(3);
    allocation.gfp = ARGUMENT(4);
  }
  allocated(context, &allocation);
  return 0;
}

SEC("raw_tp/kmem_cache_alloc")
int on_cache_alloc(struct bpf_raw_tracepoint_args *context) {
  struct lt_kernel_allocation allocation = {
      .address = ARGUMENT(1), .call_site = ARGUMENT(0), .class = LT_KERNEL_SLAB};
  if (!configuration.cache_alloc_has_cache) {
    allocation.requested = ARGUMENT(2);
    allocation.taken = ARGUMENT(3);
    allocation.gfp = ARGUMENT(4);
  } else {
    allocation.cache = ARGUMENT(2);
    if (configuration.cache_alloc_has_sizes) {
      allocation.requested = ARGUMENT(3);
      allocation.taken = ARGUMENT(4);
      allocation.gfp = ARGUMENT(5);
    } else {
      struct kmem_cache *cache = (struct kmem_cache *)allocation.cache;
      allocation.requested = BPF_CORE_READ(cache, object_size);
      allocation.taken = BPF_CORE_READ(cache, size);
      allocation.gfp = ARGUMENT(3);
    }
  }
  allocated(context, &allocation);
  return 0;
}

SEC("raw_tp/kfree")
int on_kfree(struct bpf_raw_tracepoint_args *context) {
  released(context->args[1], LT_KERNEL_SLAB);
  return 0;
}

SEC("raw_tp/kmem_cache_free")
int on_cache_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[1], LT_KERNEL_SLAB);
  return 0;
}

// ---- Per-CPU and vmalloc ------------------------------------------------------------------------------------------

SEC("raw_tp/percpu_alloc_percpu")
int on_percpu_alloc(struct bpf_raw_tracepoint_args *context) {
  struct lt_kernel_allocation allocation = {.class = LT_KERNEL_PERCPU};
  if (configuration.percpu_has_call_site) {
    allocation.call_site = ARGUMENT(0);
    allocation.requested = ARGUMENT(3);
    allocation.address = ARGUMENT(7);
  } else {
    allocation.requested = ARGUMENT(2);
    allocation.address = ARGUMENT(6);
  }
  allocation.taken = allocation.requested * configuration.possible_cpus;
  allocated(context, &allocation);
  return 0;
}

SEC("raw_tp/percpu_free_percpu")
int on_percpu_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[2], LT_KERNEL_PERCPU);
  return 0;
}

SEC("raw_tp/alloc_vmap_area")
int on_vmap_alloc(struct bpf_raw_tracepoint_args *context) {
  if ((int)context->args[5])
    return 0;  // failed
  struct lt_kernel_allocation allocation = {
      .address = context->args[0],
      .requested = context->args[1],
      .taken = context->args[1],
      .class = LT_KERNEL_VMALLOC,
  };
  allocated(context, &allocation);
  return 0;
}

SEC("raw_tp/free_vmap_area_noflush")
int on_vmap_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[0], LT_KERNEL_VMALLOC);
  return 0;
}

SEC("kretprobe/alloc_vmap_area")
int vmap_alloc_exit(struct pt_regs *context) {
  __u64 result = context->ax;
  if (!result || result > -4096ull)
    return 0;
  struct vmap_area *area = (struct vmap_area *)result;
  __u64 start = BPF_CORE_READ(area, va_start);
  struct lt_kernel_allocation allocation = {
      .address = start, .requested = BPF_CORE_READ(area, va_end) - start, .class = LT_KERNEL_VMALLOC};
  allocation.taken = allocation.requested;
  allocated(context, &allocation);
  return 0;
}

SEC("kprobe/free_vmap_area_noflush")
int vmap_free_enter(struct pt_regs *context) {
  struct vmap_area *area = (struct vmap_area *)context->di;
  released(BPF_CORE_READ(area, va_start), LT_KERNEL_VMALLOC);
  return 0;
}

// ---- Pages --------------------------------------------------------------------------------------------------------

#define GFP_MOVABLE 0x08u
#define PAGE_BYTES 4096ull
#define LARGEST_ORDER 10

SEC("raw_tp/mm_page_alloc")
int on_page_alloc(struct bpf_raw_tracepoint_args *context) {
  __u32 gfp = context->args[2];
  if (gfp & GFP_MOVABLE) {
    // Page cache and memory of processes: the kernel takes it back when it must, or when they end.
    count_one(LT_KERNEL_COUNTER_MOVABLE_PAGES);
    return 0;
  }
  __u64 size = PAGE_BYTES << (context->args[1] & 0xf);
  struct lt_kernel_allocation allocation = {
      .address = context->args[0], .requested = size, .taken = size, .gfp = gfp, .class = LT_KERNEL_PAGES};
  allocated(context, &allocation);
  return 0;
}

// Takes `size` bytes off a recorded block of pages. Returns whether there was such a block.
__noinline int shrink_pages(__u64 key, __u64 size) {
  struct lt_block_payload payload;
  if (!block_take(key, &payload))
    return false;
  __u64 recorded = payload.size_and_site >> LT_SITE_BITS;
  struct lt_kernel_site *site = site_at(payload.size_and_site & (LT_MAX_SITES - 1));
  if (size > recorded)
    size = recorded;
  if (site)
    __sync_fetch_and_add(&site->freed_bytes, size);
  if (size < recorded) {
    payload.size_and_site -= size << LT_SITE_BITS;
    if (block_insert(key, &payload))
      return true;
    // No room for the rest after all: it counts as gone, and the refusal is shown.
    if (site)
      __sync_fetch_and_add(&site->freed_bytes, recorded - size);
    count_one(LT_KERNEL_COUNTER_BLOCKS_REFUSED);
    count_many(LT_KERNEL_COUNTER_BYTES_REFUSED, recorded - size);
  }
  if (site)
    __sync_fetch_and_add(&site->freed_count, 1);
  return true;
}

struct page {
  unsigned long flags;
} __attribute__((preserve_access_index));

SEC("raw_tp/mm_page_free")
int on_page_free(struct bpf_raw_tracepoint_args *context) {
  __u64 page = context->args[0];
  __u32 order = context->args[1] & 0xf;
  __u64 size = PAGE_BYTES << order;
  if (shrink_pages(lt_kernel_key(page, LT_KERNEL_PAGES), size))
    return 0;
  // A part of a block that was split? The block began at a page frame that is a multiple of its length, and so does the
  // address of its struct page: their array begins at a multiple of a gigabyte.
  __u64 width = bpf_core_type_size(struct page);
  if (width & (width - 1))
    return 0;
  for (__u32 i = 1; i <= LARGEST_ORDER; i++) {
    __u64 head = page & ~((width << i) - 1);
    if (head != (page & ~((width << (i - 1)) - 1)) && shrink_pages(lt_kernel_key(head, LT_KERNEL_PAGES), size))
      return 0;
  }
  count_one(LT_KERNEL_COUNTER_UNMATCHED_FREES);
  return 0;
}

// ---- In bulk, and after an RCU grace period: no tracepoint tells of these ------------------------------------------

#define BULK_LIMIT 64

struct bulk_call {
  __u64 cache;
  __u64 objects;
  __u64 call_site;
  __u32 gfp;
};

// By the stack pointer of the caller, which is unique among calls that have not returned.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u64);
  __type(value, struct bulk_call);
} bulk_calls SEC(".maps");

SEC("kprobe/kmem_cache_alloc_bulk")
int bulk_alloc_enter(struct pt_regs *context) {
  struct bulk_call call = {
      .cache = context->di, .gfp = context->si, .objects = context->cx};
  __u64 stack = context->sp;
  bpf_probe_read_kernel(&call.call_site, sizeof(call.call_site), (void *)stack);
  stack += sizeof(__u64);
  if (bpf_map_update_elem(&bulk_calls, &stack, &call, BPF_ANY))
    count_one(LT_KERNEL_COUNTER_SITES_REFUSED);
  return 0;
}

SEC("kretprobe/kmem_cache_alloc_bulk")
int bulk_alloc_exit(struct pt_regs *context) {
  __u64 stack = context->sp;
  struct bulk_call *found = bpf_map_lookup_elem(&bulk_calls, &stack);
  if (!found)
    return 0;
  struct bulk_call call = *found;
  bpf_map_delete_elem(&bulk_calls, &stack);
  __u32 count = context->ax;
  struct kmem_cache *cache = (struct kmem_cache *)call.cache;
  struct lt_kernel_allocation allocation = {
      .requested = BPF_CORE_READ(cache, object_size),
      .taken = BPF_CORE_READ(cache, size),
      .call_site = call.call_site,
      .cache = call.cache,
      .gfp = call.gfp,
      .class = LT_KERNEL_SLAB,
  };
  for (__u32 i = 0; i < BULK_LIMIT; i++) {
    if (i >= count)
      return 0;
    bpf_probe_read_kernel(&allocation.address, sizeof(__u64), (void *)(call.objects + i * sizeof(__u64)));
    allocated(context, &allocation);
    count_one(LT_KERNEL_COUNTER_BULK_ALLOCATED);
  }
  if (count > BULK_LIMIT)
    count_many(LT_KERNEL_COUNTER_BULK_CUT, count - BULK_LIMIT);
  return 0;
}

SEC("kprobe/kmem_cache_free_bulk")
int bulk_free_enter(struct pt_regs *context) {
  __u64 count = context->si, objects = context->dx;
  for (__u32 i = 0; i < BULK_LIMIT; i++) {
    if (i >= count)
      return 0;
    __u64 address = 0;
    bpf_probe_read_kernel(&address, sizeof(address), (void *)(objects + i * sizeof(__u64)));
    if (released(address, LT_KERNEL_SLAB))
      count_one(LT_KERNEL_COUNTER_BULK_FREED);
  }
  if (count > BULK_LIMIT)
    count_many(LT_KERNEL_COUNTER_BULK_CUT, count - BULK_LIMIT);
  return 0;
}

// kvfree_call_rcu(head, what): before 6.0 the second argument is the offset of `head` in its object, as a function.
SEC("kprobe/kvfree_call_rcu")
int rcu_free_enter(struct pt_regs *context) {
  __u64 head = context->di, what = context->si;
  __u64 address = what < PAGE_BYTES ? head - what : what;
  if (released(address, LT_KERNEL_SLAB))
    count_one(LT_KERNEL_COUNTER_BULK_FREED);
  return 0;
}

// ---- Processes ----------------------------------------------------------------------------------------------------

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *task = (struct task_struct *)context->args[0];
  __u32 thread_id = BPF_CORE_READ(task, pid), process_id = BPF_CORE_READ(task, tgid);
  if (thread_id != process_id)
    return 0;
  char comm[16] = {};
  bpf_get_current_comm(comm, sizeof(comm));
  bpf_map_update_elem(&ended_commands, &process_id, comm, BPF_ANY);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
