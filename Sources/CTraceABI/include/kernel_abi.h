// What BPF/programs/kernel_allocations.bpf.c and the KernelTracing module exchange.
#pragma once

#include <linux/types.h>

// ---- Outstanding blocks -------------------------------------------------------------------------------------------
// The same bucketed table as for user space (struct lt_block_bucket), with other words. A key word is
//   bits 0–46 low bits of the address   47–49 enum lt_kernel_class   63 always set
// An address is a kernel pointer, a per-CPU pointer, or the address of a struct page.
#define LT_KERNEL_KEY_ADDRESS_BITS 47
#define LT_KERNEL_KEY_USED (1ull << 63)

enum lt_kernel_class {
  LT_KERNEL_SLAB = 1,  // kmalloc and caches
  LT_KERNEL_VMALLOC,
  LT_KERNEL_PERCPU,
  LT_KERNEL_PAGES,
  LT_KERNEL_CLASS_MAX
};

static inline __attribute__((always_inline)) __u64 lt_kernel_key(__u64 address, __u32 class) {
  return (address & ((1ull << LT_KERNEL_KEY_ADDRESS_BITS) - 1)) | (__u64) class << LT_KERNEL_KEY_ADDRESS_BITS |
         LT_KERNEL_KEY_USED;
}

// The payload's second word:
//   bits 0–3 level   4–25 process   26–63 when it was allocated, in units of 2^20 ns of CLOCK_MONOTONIC
// The process is whom the block was allocated for; 0 is an interrupt, which works for nobody in particular. At level L one
// allocation in 2^L is recorded, and the block counts as so many in its site's totals.
#define LT_KERNEL_TIME_UNIT_SHIFT 20
#define LT_KERNEL_PROCESS_BITS 22  // the kernel's own limit of process ids
#define LT_KERNEL_PROCESS_SHIFT 4
#define LT_KERNEL_TIME_SHIFT (LT_KERNEL_PROCESS_SHIFT + LT_KERNEL_PROCESS_BITS)

// ---- Allocation sites ---------------------------------------------------------------------------------------------
// Entered and found as those of programs are (LT_SITE_TRIES).
enum lt_kernel_site_flags {
  LT_KERNEL_SITE_WANTS_STACK = 1,  // user space: its next blocks go to sites of their whole call stacks
  LT_KERNEL_SITE_IGNORED = 2,      // not what was asked for, by its cache, size or callers
  LT_KERNEL_SITE_RECLAIMABLE = 4,  // the kernel gives its objects back when memory is short
};

// Totals of one caller and cache, or of one call stack and cache.
struct lt_kernel_site {
  __u64 key;         // mixed from everything that identifies the site; 0 is free
  __u64 call_site;   // return address in the kernel; 0 where only the stack says who called
  __u64 cache;       // address of the kmem_cache, 0 for what is not slab and where it is not known
  __u64 stack_hash;  // key in the stacks maps; 0: no stack was taken
  __u64 allocated_bytes;
  __u64 allocated_count;
  __u64 freed_bytes;
  __u64 freed_count;
  __u64 reused_count;  // blocks whose address was handed out again without a free being seen
  __u32 flags;
  __u32 gfp;          // of the first allocation
  __u32 object_size;  // bytes that a slab object takes; 0 for what is not slab
  __u32 class;
  __u32 is_kmalloc;
  __u32 is_ready;  // the identifying fields above are complete
};

#define LT_KERNEL_CACHE_NAME 64
struct lt_kernel_cache {
  char name[LT_KERNEL_CACHE_NAME];
  __u64 is_wanted;
};

// What is kept of a process that has ended.
struct lt_ended_process {
  char comm[16];
  __u32 parent;  // the process that had started it, or its successor
};

// ---- Events -------------------------------------------------------------------------------------------------------
// What `--trace` prints: a recorded block was allocated or freed.
struct lt_kernel_event {
  __u64 time;  // CLOCK_MONOTONIC nanoseconds
  __u64 address;
  __u64 size;
  __u32 site;  // index into sites
  __u32 is_free;
  __u32 process_id;
  __u32 thread_id;
};

// ---- Counters -----------------------------------------------------------------------------------------------------
#define LT_KERNEL_COUNTERS(X)                                                                                         \
  X(BLOCKS_REFUSED, "blocks_refused", 1, "blocks not recorded because the table of outstanding blocks was full")      \
  X(BYTES_REFUSED, "bytes_refused", 1, "bytes in blocks not recorded because the table was full")                     \
  X(SITES_REFUSED, "sites_refused", 1, "blocks not recorded because the table of call sites was full")                \
  X(STACK_SITES_REFUSED, "stack_sites_refused", 1, "blocks without a stack because the table of call sites was full") \
  X(STACKS_REFUSED, "stacks_refused", 1, "call stacks whose frames could not be stored")                              \
  X(SCRATCH_BUSY, "scratch_busy", 1, "blocks without a stack because every scratch buffer of the CPU was in use")     \
  X(CACHES_REFUSED, "caches_refused", 1, "slab caches whose names could not be stored")                               \
  X(MISSED_FREES, "missed_frees", 1, "blocks whose address was handed out again without a free being seen")           \
  X(BULK_CUT, "bulk_cut", 1, "blocks of a bulk call beyond those that one program can look at")                       \
  X(BULK_CALLS_REFUSED, "bulk_calls_refused", 1, "bulk calls not followed because too many were under way")           \
  X(EVENTS_LOST, "events_lost", 1, "events not printed because the ring buffer was full")                             \
  X(UNMATCHED_FREES, "unmatched_frees", 0, "frees of blocks that were not recorded")                                  \
  X(UNSAMPLED_BLOCKS, "unsampled_blocks", 0, "blocks that the sampling did not choose")                               \
  X(RECLAIMABLE_BLOCKS, "reclaimable_blocks", 0, "blocks of caches that the kernel takes back, left out")             \
  X(FILTERED_BLOCKS, "filtered_blocks", 0, "blocks left out by the filters")                                          \
  X(MOVABLE_PAGES, "movable_pages", 0, "allocations of pages for the page cache and for processes, left out")         \
  X(CUT_AT_INTERRUPT, "cut_at_interrupt", 0, "call stacks cut where an interrupt came in")                            \
  X(BULK_ALLOCATED, "bulk_allocated", 0, "blocks that were allocated in bulk")                                        \
  X(BULK_FREED, "bulk_freed", 0, "blocks that were freed in bulk or after an RCU grace period")                       \
  X(SPLIT_BLOCKS, "split_blocks", 0, "blocks of pages of which a part was freed")

enum lt_kernel_counter {
#define X(name, text, loss, meaning) LT_KERNEL_COUNTER_##name,
  LT_KERNEL_COUNTERS(X)
#undef X
      LT_KERNEL_COUNTER_MAX
};

// ---- Load-time configuration --------------------------------------------------------------------------------------
#define LT_KERNEL_MAX_RANGES 8
#define LT_KERNEL_MAX_PROCESSES 1024
#define LT_KERNEL_LARGEST_ORDER 10

struct lt_kernel_range {
  __u64 start, end;
};

struct lt_kernel_configuration {
  __u64 minimum_size;  // requests for less are not recorded
  __u64 maximum_size;
  __u64 vmemmap_pointer;      // where the kernel keeps the address of its array of struct page; 0: unknown
  __u64 page_offset_pointer;  // where it keeps the address of its direct map
  __u32 process_id;           // whose allocations are recorded; 0: all
  __u32 own_process_id;
  __u32 has_comm;
  __u32 has_cgroup;  // only tasks below the cgroup in the map `cgroups`
  char comm[16];
  __u32 block_buckets;
  __u32 site_count;
  __u32 all_stacks;    // every site takes stacks
  __u32 no_stacks;     // not even where nothing else says who the caller is
  __u32 cache_filter;  // record only caches that are named in wanted_caches
  __u32 possible_cpus;
  __u32 knows_interrupts;  // the programs that count interrupts are attached
  __u32 interrupt_range_count;
  __u32 call_site_range_count;
  // Where the arguments of tracepoints are, which differs by kernel version.
  __u32 kmalloc_has_cache;      // 5.19 to 6.0: a kmem_cache comes third
  __u32 cache_alloc_has_cache;  // from 5.19
  __u32 cache_alloc_has_sizes;  // until 6.0
  __u32 percpu_has_call_site;   // from 5.19
  __u32 sample_every_nth;       // 0 or 1: every block
  __u32 emits_events;
  __u32 skips_reclaimable;   // blocks of caches that the kernel takes back when memory is short are not recorded
  __u32 has_more_processes;  // record those of the processes in wanted_processes, too
  __u32 unused;
  struct lt_kernel_range interrupts[LT_KERNEL_MAX_RANGES];  // code that interrupts enter by
  struct lt_kernel_range call_sites[LT_KERNEL_MAX_RANGES];  // only blocks from these callers
};

struct lt_kernel_globals {
  __u64 third_choices;  // blocks that are in their third bucket
  // Outstanding blocks of pages that may be freed in parts, by the order of their size.
  __s64 splittable[16];
  __u64 level;  // of allocations from now on
};
