// What user_allocations.bpf.c and process_lifecycle.bpf.c in BPF/programs exchange with the module AllocationTracing.
#pragma once

#include <linux/types.h>

// How many processes one session can trace at once; a process slot is an index below this.
#define LT_MAX_PROCESS_SLOTS 1024
// How many probed places one session can have; a probe index is below this.
#define LT_MAX_PROBES 4096

// ---- Attach cookie ------------------------------------------------------------------------------------------------
// One 64-bit word per probed place says what the program must do there:
//   bits 0–7   enum lt_function_kind        bits 8–15  LT_COOKIE_* flags
//   bits 16–19 register of the first argument   20–23 of the second   24–27 of the third (lt_argument_register)
//   bits 32–47 probe index                  bits 48–63 process slot
#define LT_COOKIE_FLAGS_SHIFT 8
#define LT_COOKIE_REGISTERS_SHIFT 16
#define LT_COOKIE_PROBE_SHIFT 32
#define LT_COOKIE_SLOT_SHIFT 48

// The function may call another probed function: its return must be seen even when its block is not recorded.
#define LT_COOKIE_MAY_NEST 0x01
// The function's return instructions are probed instead of its return address, because it may throw.
#define LT_COOKIE_RETURNS_BY_SITE 0x02
// The place is such a return instruction.
#define LT_COOKIE_AT_RETURN 0x04
// The function may throw although its return address is replaced: it must be put back before a handler is looked for.
#define LT_COOKIE_MAY_THROW 0x08

// Where exceptions are raised, besides the slot: return addresses are replaced for every call, followed or not.
#define LT_COOKIE_ALWAYS_RETURNS 0x01

enum lt_function_kind {
  LT_ALLOCATE = 1,             // first: size
  LT_ALLOCATE_COUNTED = 2,     // first: count, second: size of one
  LT_REALLOCATE = 3,           // first: pointer, second: size
  LT_REALLOCATE_COUNTED = 4,   // first: pointer, second: count, third: size of one
  LT_ALLOCATE_TO_POINTER = 5,  // first: where the pointer goes, second: size; returns 0 on success
  LT_FREE = 6,                 // first: pointer
  // At the instruction after the system call of a C library function, its arguments and result in their registers:
  LT_MAP = 7,
  LT_REMAP = 8,
  LT_BREAK = 9,
  LT_UNMAP = 10,          // at the function's entry
  LT_CREATE_THREAD = 11,  // pthread_create, at its entry; third: the function to start with
};

// ---- Gates --------------------------------------------------------------------------------------------------------
// A gate is a page of code in the process through which its allocator functions are led; see the module Gate. At a gate's
// place behind a call that hands out a block, the third argument's register has the old block and the fourth's says what was
// chosen.
#define LT_GATE_CHOSEN_OLD 1
#define LT_GATE_CHOSEN_NEW 2
// It was chosen, but the process has no place for it in its table: its free would not be seen.
#define LT_GATE_REFUSED 4
// How far above the stack pointer the return address is at a place before a call that hands out a block.
#define LT_GATE_RETURN_DISTANCE 24
// How many gates one process can have.
#define LT_MAX_GATES 2
// So many frames from the innermost on are looked at for one of a gate: a call that was made inside another call's.
#define LT_GATE_FRAMES 12

// ---- Outstanding blocks -------------------------------------------------------------------------------------------
// A bucketed hash table in one mmap-able array: a block lives in one of three buckets of eight. A key word is
//   bits 0–46 address   47–56 process slot   57–63 low bits of the process generation
// 0 marks an empty place, LT_BLOCK_BUSY one that is being filled (no allocator hands out address 1).
#define LT_BUCKET_ENTRIES 8
#define LT_BLOCK_BUSY 1ull
#define LT_KEY_ADDRESS_BITS 47
#define LT_KEY_SLOT_BITS 10
#define LT_KEY_GENERATION_BITS 7
_Static_assert(LT_MAX_PROCESS_SLOTS == 1 << LT_KEY_SLOT_BITS, "a slot fits its bits");

// Mixes every bit of a word into every other (the finalizer of splitmix64).
static inline __attribute__((always_inline)) __u64 lt_mix(__u64 word) {
  word ^= word >> 30;
  word *= 0xbf58476d1ce4e5b9ull;
  word ^= word >> 27;
  word *= 0x94d049bb133111ebull;
  return word ^ word >> 31;
}

static inline __attribute__((always_inline)) __u64 lt_block_key(__u64 address, __u32 slot, __u32 generation) {
  return (address & ((1ull << LT_KEY_ADDRESS_BITS) - 1)) | (__u64)slot << LT_KEY_ADDRESS_BITS |
         (__u64)generation << (LT_KEY_ADDRESS_BITS + LT_KEY_SLOT_BITS);
}
#define LT_SITE_BITS 20
#define LT_MAX_SITES (1u << LT_SITE_BITS)

struct lt_block_payload {
  __u64 size_and_site;  // size << LT_SITE_BITS | index into sites
  // CLOCK_MONOTONIC nanoseconds of the allocation. Of a program's block, the lowest LT_LEVEL_BITS are the level of sampling
  // at which it is counted.
  __u64 time;
};

// Levels of sampling. At level 0 the configuration says which blocks are recorded. Before the table of blocks is full, user
// space goes to the next level, which records fewer, and takes as many of the recorded blocks out as that level would not
// have recorded. A block's level says what it stands for in the totals of its site.
#define LT_LEVEL_BITS 4
#define LT_MAX_LEVELS (1 << LT_LEVEL_BITS)
#define LT_LEVEL_MASK (LT_MAX_LEVELS - 1ull)

struct lt_block_bucket {
  __u64 keys[LT_BUCKET_ENTRIES];
  struct lt_block_payload payloads[LT_BUCKET_ENTRIES];
};

// ---- Allocation sites ---------------------------------------------------------------------------------------------
// Totals of one call stack of one process. A site is at the first of LT_SITE_TRIES places from its key's hash on that was
// free; the distance from one place to the next grows by one each time.
#define LT_SITE_TRIES 24
// The index of no site.
#define LT_NO_SITE 0xffffffffu
// In place of an index: the call was made inside another one, which counts what it hands out.
#define LT_NESTED_SITE 0xfffffffeu

struct lt_site {
  __u64 key;         // mixed from everything that identifies the site; 0 is free
  __u64 stack_hash;  // key in the stacks map
  __u64 allocated_bytes;
  __u64 allocated_count;
  __u64 freed_bytes;
  __u64 freed_count;
  __u32 process_generation;
  __u16 process_slot;
  __u16 probe;  // index of the probed place that handed out the first block
  __u32 epoch;  // lt_unwind_process.epoch at the first block: what the stack's addresses mean
  __u32 state;  // enum lt_site_state; above LT_SITE_THREAD_SHIFT the thread, 0 unless sites are by thread
};

#define LT_SITE_THREAD_SHIFT 8  // thread ids take 22 bits

enum lt_site_state {
  LT_SITE_EMPTY = 0,  // or its identifying fields are not complete yet
  LT_SITE_READY = 1,
  LT_SITE_PENDING = 2,  // of one event only, whose stack user space is going to complete (struct lt_unwind_sample)
};

struct lt_stack {
  __u32 depth;
  __u32 outcome;  // enum lt_unwind_outcome
  __u64 frames[127];
};

// The hash of a stack is odd, and built up from its outcome, its frames from the leaf on, and its depth.
static inline __attribute__((always_inline)) __u64 lt_hash_frame(__u64 hash, __u64 frame) {
  hash = (hash ^ frame) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 29;
}

static inline __attribute__((always_inline)) __u64 lt_finish_stack_hash(__u64 hash, __u32 depth) {
  return lt_mix(hash ^ depth) | 1;
}

// Most stacks are short; a map of their own keeps an entry at 512 bytes of kernel memory instead of 2,048.
#define LT_SHORT_STACK_DEPTH 55
struct lt_short_stack {
  __u32 depth;
  __u32 outcome;
  __u64 frames[LT_SHORT_STACK_DEPTH];
};

// Where blocks of a site are freed: the key of a map whose value adds up how many frees were of its kind. Of each site the
// first LT_FREES_LOOKED_AT frees are looked at, then one in LT_FREES_PER_SAMPLE, which counts as so many.
#define LT_MAX_FREE_PLACES 4096
#define LT_FREES_LOOKED_AT 16
#define LT_FREES_PER_SAMPLE 64
struct lt_free_place {
  __u64 stack_hash;  // of the free
  __u32 site;        // of the block
  __u32 site_check;  // upper half of the site's key: another site can get its place
};
struct lt_free_count {
  __u64 frees;
  __u64 samples;  // how many of them were looked at
  __u64 epoch;    // as in lt_site
};

// ---- Processes ----------------------------------------------------------------------------------------------------
struct lt_process {
  __u32 process_id;
  __u32 generation;          // raised by exec, so that blocks of the old image cannot be confused with new ones
  __u64 uprobes_trampoline;  // start of the process's [uprobes] area, 0 while not read
  __u64 unmatched_frees;
  __u64 unmatched_frees_at_thread_end;  // among these, what threads did last
  __u64 failed_allocations;
  __u64 loader_changes;  // how often the process waited for user space to look at what its loader mapped
  __u64 loader_answers;  // how many of these user space has answered
  __u32 is_held;         // user space controls the process's start itself: do not wait for it
  __u32 is_target;       // not somebody's child: it is held on a budget that children cannot use up
  // Where the code of its gates is; 0 and 0 where there is none.
  __u64 gate_starts[LT_MAX_GATES];
  __u64 gate_sizes[LT_MAX_GATES];
};

// ---- Threads -----------------------------------------------------------------------------------------------------
// What a thread is in the middle of; value of the task storage `thread_states`.
struct lt_thread_state {
  __u64 stack_pointer;  // at entry of the outermost allocator call: address of its return address; 0 when in none
  __u64 size;
  __u64 pointer;         // realloc: the old block; posix_memalign: where the new pointer goes
  __u64 return_address;  // the word at stack_pointer while the call lasts; 0: the kernel's trampoline
  struct lt_block_payload old_block;
  __u16 kind;
  __u8 may_throw;  // and has a return probe nevertheless
  __u8 reserved;
  __u32 probe;
  __u8 records_block;  // chosen by filters and sampling
  __u8 has_old_block;
  __u8 counted_unmatched;        // realloc of a block that was not recorded
  __u8 level;                    // of sampling, at which the block was chosen
  __u32 recent_unmatched_frees;  // since the thread's last allocation
};

// ---- Counters -----------------------------------------------------------------------------------------------------
// One line per counter: enum name, stable name in reports, 1 when it is a loss, 1 when blocks can be in use that are not
// among the outstanding ones because of it, meaning.
#define LT_COUNTERS(X)                                                                                               \
  X(BLOCKS_REFUSED, "blocks_refused", 1, 1, "blocks not recorded because the table of outstanding blocks was full")  \
  X(BYTES_REFUSED, "bytes_refused", 1, 0, "bytes in blocks not recorded because the table was full")                 \
  X(SITES_REFUSED, "sites_refused", 1, 1, "blocks not recorded because the table of call stacks was full")           \
  X(STACKS_REFUSED, "stacks_refused", 1, 0, "call stacks whose frames could not be stored")                          \
  X(MISSED_FREES, "missed_frees", 1, 0, "blocks whose address was handed out again without a free being seen")       \
  X(THREAD_STATE_REFUSED, "thread_state_refused", 1, 1, "calls not followed because a thread's state had no memory") \
  X(SCRATCH_BUSY, "scratch_busy", 1, 1, "blocks not recorded because every scratch buffer of the CPU was in use")    \
  X(ABANDONED_CALLS, "abandoned_calls", 1, 1, "calls into an allocator that never returned (longjmp, exception)")    \
  X(UNSAFE_CALLS, "unsafe_calls", 1, 1, "calls for more memory than there is, not followed because they may throw")  \
  X(UNREADABLE_RESULT, "unreadable_results", 1, 1, "blocks whose address could not be read back from the caller")    \
  X(EVENTS_LOST, "events_lost", 1, 1, "events for user space dropped because the ring buffer was full")              \
  X(LATE_FORKS, "late_forks", 1, 0, "forked processes that ran before their probes were attached")                   \
  X(LATE_LOADS, "late_loads", 1, 1, "times that libraries ran before they were looked at for allocators")            \
  X(NESTED_CALLS, "nested_calls", 0, 0, "allocator calls made inside another one and therefore not counted")         \
  X(FILTERED_BLOCKS, "filtered_blocks", 0, 0, "blocks left out by the size filters")                                 \
  X(UNSAMPLED_BLOCKS, "unsampled_blocks", 0, 0, "blocks that the sampling did not choose")                           \
  X(FREE_PLACES_REFUSED, "free_places_refused", 0, 0, "frees looked at whose place was not kept: too many places")

enum lt_counter {
#define X(name, text, loss, hides, meaning) LT_COUNTER_##name,
  LT_COUNTERS(X)
#undef X
      LT_COUNTER_MAX
};

// ---- Load-time configuration --------------------------------------------------------------------------------------
// Steps of the two tables that sampling needs; see sampling.bpf.h.
#define LT_LOG_STEPS 256
#define LT_WEIGHT_STEPS 1024
#define LT_WEIGHT_STEPS_PER_MEAN 64
// Counts of sites are kept in units of 1/1024 block, so that weights need no rounding to whole blocks.
#define LT_COUNT_UNIT_SHIFT 10

struct lt_configuration {
  __u64 minimum_size;      // blocks smaller than this are not recorded
  __u64 maximum_size;      // blocks larger than this are not recorded
  __u64 sample_mean;       // mean bytes between samples; 0: every block
  __u32 sample_every_nth;  // 0 or 1: every block
  __u32 block_buckets;     // number of buckets in the blocks map
  __u32 site_count;        // number of entries in the sites map
  __u32 maximum_blocks;    // blocks recorded at once
  __u32 filling_blocks;    // so many of them are reported to user space, which then makes room; 0: never
  __u32 emit_events;       // write every allocation and free to the ring buffer
  __u32 follow_forks;
  __u32 walk_with_tables;      // unwind by tables; otherwise by frame pointers
  __u32 sites_by_thread;       // threads of a process have sites of their own
  __u32 watches_frees;         // note where a sample of the blocks is freed
  __u64 largest_safe_request;  // a request for more is likely to fail: functions that may throw are not followed then
  __u32 tracer_process;        // leaktrace itself: nobody is held when it is gone
  __u32 has_gates;             // allocator functions may be led through gates
  __u32 log2_table[LT_LOG_STEPS + 1];       // log2(1 + i/256) · 65536
  __u32 weight_table[LT_WEIGHT_STEPS + 1];  // x / (1 − e^−x) · 65536 at x = i/64
};

// Shared words that both halves change atomically.
struct lt_globals {
  __u64 live_blocks;
  __u64 held_processes;     // wait for user space at this moment
  __s64 hold_budgets[2];    // nanoseconds that children, and targets, may still be held; refilled by user space
  __u64 tracer_is_gone;     // leaktrace is being killed or ends
  __u64 attaching_process;  // id of the process that user space attaches to at this moment while it is held
  __u64 level;              // of sampling, for blocks from now on
  __u64 is_filling;         // user space has been told that the table of blocks is filling, and has not made room yet
  // Mean bytes between samples of each level, or one block in so many; that of level 0 is in the configuration.
  __u64 level_values[LT_MAX_LEVELS];
};

// What a recorded block stands for: bytes, and blocks in units of 1/2^LT_COUNT_UNIT_SHIFT.
struct lt_weight {
  __u64 bytes;
  __u64 count;
};

// The weight of a block that was recorded as one in `nth`.
static inline __attribute__((always_inline)) struct lt_weight lt_weight_of_nth(__u64 size, __u64 nth) {
  struct lt_weight weight = {size * nth, nth << LT_COUNT_UNIT_SHIFT};
  return weight;
}

// The weight of a block that was recorded by Poisson sampling with this mean number of bytes between samples; 0: every block.
// The same size always gives the same weight, so what is added by an allocation is taken off exactly by its free.
//
// `table` has x / (1 - e^-x) in units of 1/65536 at LT_WEIGHT_STEPS_PER_MEAN steps for each mean. It is volatile because the
// compiler would take what is set at load time for the zeros of its initial value.
static inline __attribute__((always_inline)) struct lt_weight lt_weight_of_bytes(__u64 size, __u64 mean,
                                                                                 const volatile __u32 *table) {
  struct lt_weight weight = {size, 1ull << LT_COUNT_UNIT_SHIFT};
  if (!mean || !size)
    return weight;
  __u64 position = (size << 16) / mean * LT_WEIGHT_STEPS_PER_MEAN;
  __u64 step = position >> 16;
  if (step >= LT_WEIGHT_STEPS || size >> 44)
    return weight;
  __u64 low = table[step & (LT_WEIGHT_STEPS - 1)];
  __u64 high = table[(step & (LT_WEIGHT_STEPS - 1)) + 1];
  __u64 ratio = low + ((high - low) * (position & 0xffff) >> 16);
  weight.bytes = mean * ratio >> 16;
  weight.count = (weight.bytes << LT_COUNT_UNIT_SHIFT) / size;
  return weight;
}

// ---- Events -------------------------------------------------------------------------------------------------------
enum lt_event_kind {
  LT_EVENT_ALLOCATED = 1,
  LT_EVENT_FREED,
  LT_EVENT_FORK,  // a process to attach to; address: its id, size: enum lt_fork_flag, process_slot: its parent's
  LT_EVENT_EXEC,
  LT_EVENT_EXIT,    // the last thread of the process is gone
  LT_EVENT_LOADED,  // the dynamic loader has mapped or unmapped objects; address: lt_process.loader_changes
  LT_EVENT_MAP,     // address, size
  LT_EVENT_UNMAP,
  LT_EVENT_REMAP,    // address: new, other_address: old, size: new, other_size: old
  LT_EVENT_BREAK,    // address: the new program break
  LT_EVENT_FILLING,  // the table of blocks is filling
  LT_EVENT_THREAD,   // thread_id has a new site; its name is in address and size (16 bytes)
  LT_EVENT_CREATE,   // thread_id creates a thread that begins in the function at address
  LT_EVENT_BORN,     // thread_id has created a thread; address: the control block that the C library gave it
  LT_EVENT_RAISED,  // an exception leaves a call; put the return address other_address back at address, and answer with size
};

enum lt_fork_flag {
  LT_FORK_IS_HELD = 1,        // it waits until it is attached to
  LT_FORK_HAS_EXECUTED = 2,   // it runs another program than its parent
  LT_FORK_SHARES_MEMORY = 4,  // it runs in its parent's memory (vfork)
};

struct lt_event {
  __u32 kind;
  __u32 process_id;
  __u32 thread_id;
  __u32 process_slot;
  __u64 time;
  __u64 address;
  __u64 size;
  __u64 other_address;
  __u64 other_size;
  __u32 site;  // index into sites, or LT_NO_SITE
  __u32 probe;
};
