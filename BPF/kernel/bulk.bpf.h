// Blocks that are allocated or freed in bulk, and those that are freed after an RCU grace period: no tracepoint tells of
// them, so these are seen only where the kernel has kprobes.
#pragma once

// What kfree_rcu gathers in one page is 511 pointers.
#define BULK_LIMIT 512

static __always_inline void released_unseen(__u64 address) {
  if (released(address, LT_KERNEL_SLAB))
    count_one(LT_KERNEL_COUNTER_BULK_FREED);
}

__noinline int release_at(__u64 pointer) {
  __u64 address = 0;
  bpf_probe_read_kernel(&address, sizeof(address), (void *)pointer);
  released_unseen(address);
  return 0;
}

HOOK(bulk_free_enter, "kmem_cache_free_bulk slab completes kprobe kmem_cache_free_bulk");
SEC("kprobe/kmem_cache_free_bulk")
int bulk_free_enter(struct pt_regs *context) {
  __u64 count = lt_function_argument(context, 1), objects = lt_function_argument(context, 2);
  for (__u32 i = 0; i < BULK_LIMIT; i++) {
    if (i >= count)
      return 0;
    release_at(objects + i * sizeof(__u64));
  }
  if (count > BULK_LIMIT)
    count_many(LT_KERNEL_COUNTER_BULK_CUT, count - BULK_LIMIT);
  return 0;
}

struct bulk_call {
  __u64 cache;
  __u64 objects;
  __u64 call_site;
  __u32 gfp;
  __u32 reserved;
};

// By the stack pointer of the caller, which is unique among calls that have not returned.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u64);
  __type(value, struct bulk_call);
} bulk_calls SEC(".maps");

HOOK(bulk_alloc_enter,
     "kmem_cache_alloc_bulk slab completes kprobe kmem_cache_alloc_bulk_noprof kmem_cache_alloc_bulk");
SEC("kprobe/kmem_cache_alloc_bulk")
int bulk_alloc_enter(struct pt_regs *context) {
  struct bulk_call call = {.cache = lt_function_argument(context, 0),
                           .gfp = lt_function_argument(context, 1),
                           .objects = lt_function_argument(context, 3)};
  __u64 stack = lt_stack_pointer(context);
  bpf_probe_read_kernel(&call.call_site, sizeof(call.call_site), (void *)stack);
  stack += LT_RETURN_ADDRESS_BYTES;
  if (bpf_map_update_elem(&bulk_calls, &stack, &call, BPF_ANY))
    count_one(LT_KERNEL_COUNTER_BULK_CALLS_REFUSED);
  return 0;
}

// A function of its own for the verifier, which then checks it once and not 512 times.
__noinline int record_at(__u64 pointer, __u64 size, __u32 index, __u32 asker) {
  __u64 address = 0;
  bpf_probe_read_kernel(&address, sizeof(address), (void *)pointer);
  if (address)
    record(address, LT_KERNEL_SLAB, size, index, asker);
  return 0;
}

HOOK(bulk_alloc_exit,
     "kmem_cache_alloc_bulk slab completes kretprobe kmem_cache_alloc_bulk_noprof kmem_cache_alloc_bulk");
SEC("kretprobe/kmem_cache_alloc_bulk")
int bulk_alloc_exit(struct pt_regs *context) {
  __u64 stack = lt_stack_pointer(context);
  struct bulk_call *found = bpf_map_lookup_elem(&bulk_calls, &stack);
  if (!found)
    return 0;
  struct bulk_call call = *found;
  bpf_map_delete_elem(&bulk_calls, &stack);
  __u32 count = lt_result(context);
  if (!count)
    return 0;
  struct lt_kernel_allocation allocation = {
      .call_site = call.call_site, .cache = call.cache, .gfp = call.gfp, .class = LT_KERNEL_SLAB};
  bpf_probe_read_kernel(&allocation.address, sizeof(__u64), (void *)call.objects);
  __u32 asker = 0;
  __u32 index = site_for(context, &allocation, &asker);
  if (index == LT_NO_SITE)
    return 0;
  __u64 size = taken_by(&allocation, index);
  for (__u32 i = 0; i < BULK_LIMIT; i++) {
    if (i >= count)
      break;
    record_at(call.objects + i * sizeof(__u64), size, index, asker);
  }
  count_many(LT_KERNEL_COUNTER_BULK_ALLOCATED, count < BULK_LIMIT ? count : BULK_LIMIT);
  if (count > BULK_LIMIT)
    count_many(LT_KERNEL_COUNTER_BULK_CUT, count - BULK_LIMIT);
  return 0;
}

HOOK(rcu_free_enter, "kvfree_call_rcu slab completes kprobe kvfree_call_rcu");
// kvfree_call_rcu(head, what): before 6.0 the second argument is the offset of `head` in its object, as a function.
SEC("kprobe/kvfree_call_rcu")
int rcu_free_enter(struct pt_regs *context) {
  __u64 head = lt_function_argument(context, 0), what = lt_function_argument(context, 1);
  __u64 address = what < PAGE_BYTES ? head - what : what;
  released_unseen(address);
  return 0;
}
