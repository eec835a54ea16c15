// The helpers of the BPF programs (BPF/*.bpf.h), compiled for the host: the same files, with maps as arrays. Only what a
// test sets up exists; a map that none has given memory ends the test.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CTraceABI.h"

#pragma clang assume_nonnull begin

// ---- The machine --------------------------------------------------------------------------------------------------

// Which CPU the calling thread is on, and what its random numbers begin with.
void native_set_cpu(uint32_t cpu);
void native_set_random_seed(uint64_t seed);
// What the traced task has at addresses from `start` on; nothing elsewhere can be read. Not copied.
void native_set_memory(uint64_t start, const void *_Nullable bytes, size_t size);
void native_set_code(uint64_t start, const void *_Nullable bytes, size_t size);

// ---- User allocations (native_user.c) -----------------------------------------------------------------------------

// Empties all tables.
void native_user_begin(const struct lt_configuration *configuration);

bool native_block_insert(uint64_t key, uint64_t size, uint32_t site);
// Takes a block out; its size and site are stored where it was there.
bool native_block_take(uint64_t key, uint64_t *size, uint32_t *site);
uint64_t native_live_blocks(void);
// How often the key stands in the table, which is at most once if all is well.
uint32_t native_block_copies(uint64_t key);
// All blocks in the table, and places that were left half filled.
uint64_t native_block_count(void);
uint64_t native_busy_places(void);

// Goes to a level of sampling, whose value is in the unit of the configuration.
void native_set_level(uint32_t level, uint64_t value);
bool native_should_sample(uint64_t size);
struct native_weight {
  uint64_t bytes, count;
};
struct native_weight native_weight_of(uint64_t size);

uint64_t native_stack_hash(const struct lt_stack *stack);
// Whether the stack has been stored, or had been before.
bool native_stack_store(const struct lt_stack *stack, uint64_t hash);

struct native_site {
  uint32_t index;
  bool is_new;
};
struct native_site native_user_site(uint64_t stack_hash, uint32_t process_slot, uint32_t generation, uint32_t epoch,
                                    uint32_t thread);
struct lt_site *_Nullable native_user_site_at(uint32_t index);
void native_site_add(uint32_t index, uint64_t size, uint32_t level);
void native_site_subtract(uint32_t index, uint64_t size, uint32_t level);

// ---- Kernel allocations (native_kernel.c) -------------------------------------------------------------------------

void native_kernel_begin(const struct lt_kernel_configuration *configuration);
struct native_site native_kernel_site(uint64_t call_site, uint64_t cache, uint64_t stack_hash, uint32_t kmalloc_size,
                                      uint32_t gfp, uint32_t class_);
struct lt_kernel_site *_Nullable native_kernel_site_at(uint32_t index);
bool native_kernel_record(uint64_t address, uint32_t class_, uint64_t size, uint32_t site, uint32_t asker);
bool native_kernel_release(uint64_t address, uint32_t class_);
// Sum over all CPUs.
uint64_t native_kernel_counter(enum lt_kernel_counter counter);
// Blocks that are in their third bucket.
uint64_t native_kernel_third_choices(void);

// ---- The stack walker (native_unwind.c) ---------------------------------------------------------------------------

void native_unwind_begin(void);
// One mapping with one table: 256 bytes of text at `start`, whose rows are (offset in the text, rule code).
struct native_row {
  uint8_t offset;
  uint16_t code;
};
void native_unwind_publish(uint64_t start, const struct native_row *rows, size_t count);
// The rule behind a rule code that is not plain.
void native_unwind_set_rule(uint16_t identifier, uint64_t rule);

struct native_step {
  bool goes_on;
  uint32_t outcome;
  uint64_t lookup, sp, fp;
  uint32_t depth;
};
// One frame by `code` from these registers.
struct native_step native_unwind_step(uint16_t code, uint64_t lookup, uint64_t sp, uint64_t fp);
// A whole walk.
void native_unwind_walk(uint64_t pc, uint64_t sp, uint64_t fp, bool is_return, struct lt_stack *out);
uint64_t native_unwind_counter(enum lt_unwind_counter counter);

// ---- Threads (native_threads.c) -----------------------------------------------------------------------------------

struct native_thread_run {
  // What came out: blocks that were put in, refused, taken out, that are left, and all kinds of mistake.
  uint64_t inserted, refused, taken, left, lost, doubled, wrong_payloads, busy_places;
};
// Threads that insert blocks and take out those of their neighbour. `capacity`: the most blocks at once.
struct native_thread_run native_run_threads(uint32_t threads, uint32_t blocks_per_thread, uint32_t buckets,
                                            uint32_t capacity, bool frees);
// Threads that enter the same sites: how many sites there are in the end, and how often one was called new.
void native_run_site_threads(uint32_t threads, uint32_t sites, uint64_t *entered, uint64_t *called_new);

#pragma clang assume_nonnull end
