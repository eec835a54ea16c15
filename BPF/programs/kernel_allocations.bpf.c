// Outstanding kernel allocations by caller, cache and process, and by call stack for those that are asked for.
//
// Every program does one of two things: it records a block or takes one out. They run in any context, interrupts
// included, and so touch only memory that exists already.
#include "kernel/blocks.bpf.h"
#include "kernel/caches.bpf.h"
#include "kernel/hooks.bpf.h"
#include "kernel/stacks.bpf.h"

struct vmap_area {
  unsigned long va_start;
  unsigned long va_end;
} __attribute__((preserve_access_index));

struct lt_kernel_allocation {
  __u64 address;
  __u64 requested;  // bytes asked for; 0 for objects of a cache, whose size its site knows
  __u64 taken;      // bytes it costs; 0 likewise
  __u64 call_site;
  __u64 cache;
  __u32 gfp;
  __u32 class;
};

// ---- Which ones ---------------------------------------------------------------------------------------------------

static __always_inline bool is_from_wanted_caller(__u64 call_site) {
  // Where only the stack tells who called, it is asked when it has been taken.
  if (!configuration.call_site_range_count || !call_site)
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

static __always_inline bool is_wanted_task(__u32 process_id, bool in_interrupt) {
  if (process_id == configuration.own_process_id)
    return false;
  if (configuration.process_id && process_id != configuration.process_id &&
      !(configuration.has_more_processes && bpf_map_lookup_elem(&wanted_processes, &process_id)))
    return false;
  if ((configuration.has_cgroup || configuration.has_comm) && in_interrupt)
    return false;
  if (configuration.has_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
    return false;
  return !configuration.has_comm || has_wanted_comm();
}

// ---- Recording ----------------------------------------------------------------------------------------------------

// Finds or enters the site of `identity`. `address` is the block that is being recorded.
static __always_inline __u32 enter_site(const struct lt_kernel_identity *identity, __u64 address,
                                        struct lt_stack *stack) {
  bool is_new = false;
  __u32 index = site_find_or_create(identity, &is_new);
  if (index == LT_NO_SITE || !is_new)
    return index;
  struct lt_kernel_site *site = site_at(index);
  if (!site)
    return LT_NO_SITE;
  bool is_wanted = complete_site(index, address);
  if (configuration.call_site_range_count && !identity->call_site)
    is_wanted = is_wanted && stack && is_from_wanted_stack(stack);
  if (!is_wanted)
    site->flags |= LT_KERNEL_SITE_IGNORED;
  if (stack && !stack_store(stack, identity->stack_hash))
    count_one(LT_KERNEL_COUNTER_STACKS_REFUSED);
  __sync_lock_test_and_set(&site->is_ready, 1);
  return index;
}

// The site of a call stack that has been taken, which is released; LT_NO_SITE when the table has no place.
static __noinline __u32 enter_site_of_stack(struct lt_kernel_scratch *claimed, struct lt_kernel_identity *identity,
                                            __u64 address) {
  identity->stack_hash = stack_hash(&claimed->stack);
  __u32 index = enter_site(identity, address, &claimed->stack);
  release_scratch(claimed);
  if (index == LT_NO_SITE)
    count_one(LT_KERNEL_COUNTER_STACK_SITES_REFUSED);
  identity->stack_hash = 0;
  return index;
}

struct lt_kernel_asker {
  __u32 process_id;
  __u32 level;  // at which the block is recorded
  bool in_interrupt;
};

// Whether the next block is to be recorded, of which a sample was asked for or made because the table was filling; and at
// which level.
static __always_inline bool is_chosen(__u32 *level) {
  struct lt_kernel_globals *words = global_words();
  *level = words ? lt_load(&words->level) & LT_LEVEL_MASK : 0;
  if (*level && bpf_get_prandom_u32() & ((1u << *level) - 1))
    return false;
  return configuration.sample_every_nth <= 1 || bpf_get_prandom_u32() % configuration.sample_every_nth == 0;
}

// Whether an allocation is to be recorded, as far as can be told without its site; and who asked for it.
static __noinline bool is_wanted_allocation(const struct lt_kernel_allocation *allocation,
                                            struct lt_kernel_identity *identity, struct lt_kernel_asker *asker) {
  if (!is_chosen(&asker->level)) {
    count_one(LT_KERNEL_COUNTER_UNSAMPLED_BLOCKS);
    return false;
  }
  asker->in_interrupt = is_in_interrupt();
  asker->process_id = asker->in_interrupt ? 0 : bpf_get_current_pid_tgid() >> 32;
  if (!is_wanted_task(asker->process_id, asker->in_interrupt) || !is_from_wanted_caller(allocation->call_site) ||
      (allocation->requested && !is_wanted_size(allocation->requested))) {
    count_one(LT_KERNEL_COUNTER_FILTERED_BLOCKS);
    return false;
  }
  // Later its site would tell, but only after a stack has been taken in vain.
  if (configuration.skips_reclaimable && configuration.all_stacks && allocation->cache &&
      is_reclaimable((struct kmem_cache *)allocation->cache)) {
    count_one(LT_KERNEL_COUNTER_RECLAIMABLE_BLOCKS);
    return false;
  }
  identity->call_site = allocation->call_site;
  identity->cache = allocation->cache;
  identity->kmalloc_size = allocation->class == LT_KERNEL_SLAB && !allocation->cache ? allocation->taken : 0;
  identity->gfp = allocation->gfp;
  identity->class = allocation->class;
  return true;
}

// The site of the caller alone, unless that of its stack is known already.
static __noinline __u32 site_of_caller(const struct lt_kernel_identity *identity, __u64 address, __u32 index) {
  if (index == LT_NO_SITE)
    index = enter_site(identity, address, NULL);
  struct lt_kernel_site *site = index == LT_NO_SITE ? NULL : site_at(index);
  if (!site) {
    count_one(LT_KERNEL_COUNTER_SITES_REFUSED);
    return LT_NO_SITE;
  }
  if (site->flags & LT_KERNEL_SITE_IGNORED) {
    count_one(LT_KERNEL_COUNTER_FILTERED_BLOCKS);
    return LT_NO_SITE;
  }
  if (configuration.skips_reclaimable && site->flags & LT_KERNEL_SITE_RECLAIMABLE) {
    count_one(LT_KERNEL_COUNTER_RECLAIMABLE_BLOCKS);
    return LT_NO_SITE;
  }
  return index;
}

static __always_inline bool wants_stack(__u32 index) {
  struct lt_kernel_site *site = site_at(index);
  return site && site->flags & LT_KERNEL_SITE_WANTS_STACK;
}

// The site that an allocation belongs to; LT_NO_SITE when it is not to be recorded. `*who` is what the block's payload says
// of process and level. Inlined: the
// kernel's unwinder looks up each BPF function that it meets, in vain at first, which costs more than an ordinary frame.
static __always_inline __u32 site_for(void *context, const struct lt_kernel_allocation *allocation, __u32 *who) {
  struct lt_kernel_identity identity = {};
  struct lt_kernel_asker asker = {};
  if (!is_wanted_allocation(allocation, &identity, &asker))
    return LT_NO_SITE;
  *who = asker.process_id << LT_KERNEL_PROCESS_SHIFT | asker.level;
  __u32 index = LT_NO_SITE;
  // Without a caller only the stack says who asked.
  if (configuration.all_stacks || (!allocation->call_site && !configuration.no_stacks)) {
    struct lt_kernel_scratch *claimed = take_stack(context, asker.in_interrupt);
    if (claimed)
      index = enter_site_of_stack(claimed, &identity, allocation->address);
  }
  index = site_of_caller(&identity, allocation->address, index);
  if (index != LT_NO_SITE && wants_stack(index)) {
    struct lt_kernel_scratch *claimed = take_stack(context, asker.in_interrupt);
    if (claimed) {
      __u32 exact = enter_site_of_stack(claimed, &identity, allocation->address);
      if (exact != LT_NO_SITE)
        return exact;
    }
  }
  return index;
}

// Bytes that a block costs, where only its site knows.
static __always_inline __u64 taken_by(const struct lt_kernel_allocation *allocation, __u32 index) {
  if (allocation->taken)
    return allocation->taken;
  struct lt_kernel_site *site = site_at(index);
  return site ? site->object_size : 0;
}

static __always_inline void allocated(void *context, const struct lt_kernel_allocation *allocation) {
  if (!allocation->address)
    return;
  __u32 asker = 0;
  __u32 index = site_for(context, allocation, &asker);
  if (index != LT_NO_SITE)
    record(allocation->address, allocation->class, taken_by(allocation, index), index, asker);
}

// One argument of a tracepoint. Behind a barrier, or the compiler would choose between addresses in the context instead
// of between values, which the verifier refuses. Read it only on a path that the kernel's version takes: a program that
// reads more arguments than a tracepoint has cannot be attached to it.
#define ARGUMENT(number)                    \
  ({                                        \
    __u64 argument = context->args[number]; \
    barrier_var(argument);                  \
    argument;                               \
  })

// ---- Slab ---------------------------------------------------------------------------------------------------------

HOOK(on_kmalloc, "kmalloc slab needed tracepoint kmalloc kmalloc_node");
SEC("raw_tp/kmalloc")
int on_kmalloc(struct bpf_raw_tracepoint_args *context) {
  struct lt_kernel_allocation allocation = {.address = ARGUMENT(1), .call_site = ARGUMENT(0), .class = LT_KERNEL_SLAB};
  if (configuration.kmalloc_has_cache) {
    allocation.requested = ARGUMENT(3);
    allocation.taken = ARGUMENT(4);
    allocation.gfp = ARGUMENT(5);
  } else {
    allocation.requested = ARGUMENT(2);
    allocation.taken = ARGUMENT(3);
    allocation.gfp = ARGUMENT(4);
  }
  // kmalloc(0) gives no memory, and an address that is no pointer.
  if (!allocation.taken)
    return 0;
  allocated(context, &allocation);
  return 0;
}

HOOK(on_cache_alloc, "kmem_cache_alloc slab needed tracepoint kmem_cache_alloc kmem_cache_alloc_node");
SEC("raw_tp/kmem_cache_alloc")
int on_cache_alloc(struct bpf_raw_tracepoint_args *context) {
  struct lt_kernel_allocation allocation = {.address = ARGUMENT(1), .call_site = ARGUMENT(0), .class = LT_KERNEL_SLAB};
  if (!configuration.cache_alloc_has_cache) {
    allocation.requested = ARGUMENT(2);
    allocation.taken = ARGUMENT(3);
    allocation.gfp = ARGUMENT(4);
  } else {
    allocation.cache = ARGUMENT(2);
    allocation.gfp = configuration.cache_alloc_has_sizes ? ARGUMENT(5) : ARGUMENT(3);
  }
  allocated(context, &allocation);
  return 0;
}

HOOK(on_kfree, "kfree slab needed tracepoint kfree");
SEC("raw_tp/kfree")
int on_kfree(struct bpf_raw_tracepoint_args *context) {
  released(context->args[1], LT_KERNEL_SLAB);
  return 0;
}

HOOK(on_cache_free, "kmem_cache_free slab needed tracepoint kmem_cache_free");
SEC("raw_tp/kmem_cache_free")
int on_cache_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[1], LT_KERNEL_SLAB);
  return 0;
}

#include "kernel/bulk.bpf.h"

// ---- vmalloc ------------------------------------------------------------------------------------------------------

HOOK(on_vmap_free, "free_vmap_area_noflush vmalloc needed tracepoint free_vmap_area_noflush");
SEC("raw_tp/free_vmap_area_noflush")
int on_vmap_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[0], LT_KERNEL_VMALLOC);
  return 0;
}

HOOK(vmap_free_enter, "free_vmap_area_noflush vmalloc needed kprobe free_vmap_area_noflush");
SEC("kprobe/free_vmap_area_noflush")
int vmap_free_enter(struct pt_regs *context) {
  struct vmap_area *area = (struct vmap_area *)lt_function_argument(context, 0);
  released(BPF_CORE_READ(area, va_start), LT_KERNEL_VMALLOC);
  return 0;
}

static __always_inline void mapped(void *context, __u64 start, __u64 size) {
  // The last page of a range guards it and is no memory.
  if (size > PAGE_BYTES)
    size -= PAGE_BYTES;
  struct lt_kernel_allocation allocation = {
      .address = start, .requested = size, .taken = size, .class = LT_KERNEL_VMALLOC};
  allocated(context, &allocation);
}

HOOK(on_vmap_alloc, "alloc_vmap_area vmalloc needed tracepoint alloc_vmap_area");
SEC("raw_tp/alloc_vmap_area")
int on_vmap_alloc(struct bpf_raw_tracepoint_args *context) {
  if (!(int)context->args[5])  // else it failed
    mapped(context, context->args[0], context->args[1]);
  return 0;
}

HOOK(vmap_alloc_exit, "alloc_vmap_area vmalloc needed kretprobe alloc_vmap_area");
SEC("kretprobe/alloc_vmap_area")
int vmap_alloc_exit(struct pt_regs *context) {
  __u64 result = lt_result(context);
  if (!result || result > -4096ull)
    return 0;
  struct vmap_area *area = (struct vmap_area *)result;
  __u64 start = BPF_CORE_READ(area, va_start);
  mapped(context, start, BPF_CORE_READ(area, va_end) - start);
  return 0;
}

// ---- Per CPU ------------------------------------------------------------------------------------------------------

HOOK(on_percpu_free, "percpu_free_percpu percpu needed tracepoint percpu_free_percpu");
SEC("raw_tp/percpu_free_percpu")
int on_percpu_free(struct bpf_raw_tracepoint_args *context) {
  released(context->args[2], LT_KERNEL_PERCPU);
  return 0;
}

HOOK(on_percpu_alloc, "percpu_alloc_percpu percpu needed tracepoint percpu_alloc_percpu");
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

#include "kernel/pages.bpf.h"

// ---- Interrupts and processes -------------------------------------------------------------------------------------

static __always_inline void change_interrupt_depth(__s64 change) {
  __u32 zero = 0;
  __u64 *depth = bpf_map_lookup_elem(&interrupt_depths, &zero);
  // The first end may be of one that began before the tracing.
  if (depth && (change > 0 || *depth > 0))
    __sync_fetch_and_add(depth, change);
}

SEC("raw_tp/softirq_entry")
int on_interrupt_entry(void *context) {
  (void)context;
  change_interrupt_depth(1);
  return 0;
}

SEC("raw_tp/softirq_exit")
int on_interrupt_exit(void *context) {
  (void)context;
  change_interrupt_depth(-1);
  return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *task = (struct task_struct *)context->args[0];
  __u32 thread_id = BPF_CORE_READ(task, pid), process_id = BPF_CORE_READ(task, tgid);
  if (thread_id != process_id)
    return 0;
  struct lt_ended_process ended = {.parent = BPF_CORE_READ(task, real_parent, tgid)};
  bpf_get_current_comm(ended.comm, sizeof(ended.comm));
  bpf_map_update_elem(&ended_processes, &process_id, &ended, BPF_ANY);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
