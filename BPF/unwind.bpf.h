// Complete user stacks without frame pointers: walks call-frame information that user space converted to tables.
//
// Use, in any program that runs in the context of the traced task:
//
//   struct lt_unwind_scratch *scratch = lt_unwind_claim();
//   if (!scratch) return 0;                    // all scratch areas of this CPU are busy; counted
//   lt_unwind(scratch, slot, generation, pc, sp, bp, LT_UNWIND_PC_EXACT or _RETURN);
//   … scratch->stack.frames[0 … scratch->stack.depth − 1], scratch->stack.outcome …
//   lt_unwind_release(scratch);
//
// and, where the process changes:
//
//   lt_unwind_forget(slot)                                exec, a slot given to another process
//   lt_unwind_recheck(slot)                               code may have been exchanged
//   lt_unwind_inherit(parent, parent_generation, child, child_generation)   fork
//
// The walker needs Linux 5.17 (bpf_loop). It costs the verifier 20,000 instructions, some 15 ms, per program. Programs that
// walk must not be sleepable: memory is used again after an RCU grace period.
#pragma once

#include "core.bpf.h"
#include "unwind_abi.h"

// The pc is where the task stands (a probe at an instruction, a system call).
#define LT_UNWIND_PC_EXACT 0
// The pc is the address that a function is about to return to, and sp is above it (a uretprobe).
#define LT_UNWIND_PC_RETURN 1

#include "unwind_maps.bpf.h"

#define LT_UNWIND_FRAMES_PER_ROUND 32
// Rounds end at a cache miss, at the end of a window and at a special rule: each frame can cause all three.
#define LT_UNWIND_MAX_ROUNDS 400
// The first window is small because most stacks are; each further one is twice as large.
#define LT_UNWIND_FIRST_WINDOW_BYTES 2048
#define LT_UNWIND_MAX_FRAME_POINTER_DISTANCE (1ULL << 20)
#define LT_UNWIND_MAX_RETURN_INSTANCES 32

// How a round ended.
enum lt_unwind_step {
  LT_UNWIND_STEP_AGAIN,
  LT_UNWIND_STEP_MISS,
  LT_UNWIND_STEP_REFILL,
  LT_UNWIND_STEP_SPECIAL,
  LT_UNWIND_STEP_DONE,
};

// `value & mask`, opaque to the compiler: it must not turn a bounded index into a running pointer, whose bound the
// verifier cannot see.
#define lt_unwind_bound(value, mask)                            \
  ({                                                            \
    __u64 bounded_ = (value);                                   \
    asm volatile("%0 &= %1" : "+r"(bounded_) : "i"(mask)); \
    bounded_;                                                   \
  })

static __always_inline int lt_unwind_finish(
    struct lt_unwind_scratch *scratch, enum lt_unwind_outcome status, enum lt_unwind_counter reason) {
  scratch->stack.outcome |= status | (__u32)reason << 8;
  if (reason)
    lt_unwind_count(reason);
  if (status == LT_OUTCOME_TRUNCATED)
    lt_unwind_count(LT_UNWIND_TRUNCATED_STACK);
  return LT_UNWIND_STEP_DONE;
}

// Appends a frame and makes it the current one. A return address of 0 ends the stack.
static __always_inline int lt_unwind_push(
    struct lt_unwind_scratch *scratch, __u64 pc, __u64 sp, __u64 bp, __u64 lookup_distance) {
  __u32 depth = scratch->stack.depth;

  if (!pc)
    return lt_unwind_finish(scratch, LT_OUTCOME_COMPLETE, 0);
  if (pc < LT_UNWIND_PAGE_BYTES || pc >> LT_UNWIND_ADDRESS_BITS)
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_ADDRESS);
  if (depth >= LT_MAX_STACK_DEPTH)
    return lt_unwind_finish(scratch, LT_OUTCOME_TRUNCATED, 0);
  scratch->stack.frames[lt_unwind_bound(depth, LT_MAX_STACK_DEPTH)] = pc;
  scratch->stack.depth = depth + 1;
  scratch->lookup = pc - lookup_distance;
  scratch->sp = sp;
  scratch->bp = bp;
  return LT_UNWIND_STEP_AGAIN;
}

#include "unwind_lookup.bpf.h"
#include "unwind_steps.bpf.h"
#include "unwind_changes.bpf.h"
#include "unwind_validation.bpf.h"

// The fast path: frames whose rule is cached, plain, and whose stack is in the window. No calls in it, so that its variables
// stay in registers; and not called itself, because returning is dear where the kernel guards returns.
static __always_inline int lt_unwind_fast(struct lt_unwind_scratch *scratch) {
  __u32 zero = 0;
  struct lt_unwind_cache *cache = bpf_map_lookup_elem(&lt_unwind_cache, &zero);
  if (!scratch || !cache)
    return LT_UNWIND_STEP_DONE;

  // The cache's key is lookup | address space, and lookup is one less than a return address.
  __u64 key_base = scratch->address_space - 1, pc = scratch->lookup + 1;
  __u64 sp = scratch->sp, bp = scratch->bp, window_start = scratch->window_start;
  __u64 limit = (__u64)scratch->window_size - 8;
  __u64 depth = scratch->stack.depth;
  int step = LT_UNWIND_STEP_AGAIN;

  for (int i = 0; i < LT_UNWIND_FRAMES_PER_ROUND; i++) {
    __u64 hash = (pc + key_base) * LT_UNWIND_CACHE_MULTIPLIER;
    __u64 set = hash >> 47 & (LT_UNWIND_CACHE_WORDS - 2), tag = hash << 16;
    __u64 code = cache->words[set] ^ tag;
    if (code - 1 >= 0xffff) {
      code = cache->words[set | 1] ^ tag;
      if (code - 1 >= 0xffff) {
        step = LT_UNWIND_STEP_MISS;
        break;
      }
    }
    if (!(code & LT_UNWIND_CODE_PLAIN)) {
      scratch->code = code;
      step = code == LT_UNWIND_RULE_ID_END ? LT_UNWIND_STEP_DONE : LT_UNWIND_STEP_SPECIAL;
      break;
    }

    __u64 place = ((code & LT_UNWIND_CODE_RBP) ? bp : sp) + (code & LT_UNWIND_CODE_WORDS_MASK) * 8;
    __u64 slot = code >> LT_UNWIND_CODE_SLOT_SHIFT & LT_UNWIND_CODE_SLOT_MASK;
    __u64 offset = place - window_start;
    if (place < sp || (place & 7)) {
      step = lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);
      break;
    }
    if (offset > limit || offset < slot * 8) {
      scratch->wanted_start = place - slot * 8;
      scratch->wanted_end = place + 8;
      step = LT_UNWIND_STEP_REFILL;
      break;
    }
    if (slot)
      bp = scratch->window[((offset >> 3) - slot) & (LT_UNWIND_WINDOW_WORDS - 1)];
    pc = scratch->window[offset >> 3 & (LT_UNWIND_WINDOW_WORDS - 1)];
    sp = place + 8;
    if ((pc - LT_UNWIND_PAGE_BYTES) >> LT_UNWIND_ADDRESS_BITS || depth >= LT_MAX_STACK_DEPTH) {
      scratch->stack.depth = depth;
      return lt_unwind_push(scratch, pc, sp, bp, 1);
    }
    scratch->stack.frames[lt_unwind_bound(depth, LT_MAX_STACK_DEPTH)] = pc;
    depth++;
  }
  scratch->stack.depth = depth;
  scratch->lookup = pc - 1;
  scratch->sp = sp;
  scratch->bp = bp;
  return step;
}

static long lt_unwind_round([[maybe_unused]] __u32 index, void *context) {
  struct lt_unwind_scratch *scratch = *(struct lt_unwind_scratch **)context;
  int step = lt_unwind_fast(scratch);

  if (step == LT_UNWIND_STEP_MISS)
    step = lt_unwind_find(scratch);
  else if (step == LT_UNWIND_STEP_REFILL)
    step = lt_unwind_read_window(scratch);
  if (step == LT_UNWIND_STEP_SPECIAL)
    step = lt_unwind_special(scratch);
  return step == LT_UNWIND_STEP_DONE;
}

// Walks from the registers in `scratch`. Use lt_unwind.
__noinline int lt_unwind_run(struct lt_unwind_scratch *scratch) {
  if (!scratch || !lt_unwind_can_walk())
    return 0;
  enum lt_unwind_counter reason = lt_unwind_open(scratch);
  if (reason) {
    lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, reason);
    if (reason == LT_UNWIND_NO_TABLES)
      lt_unwind_ask(scratch->process_slot, scratch->generation, scratch->lookup);
    return scratch->stack.depth;
  }
  // Such an address would take the place of another process's in the cache's key.
  if (scratch->lookup >> LT_UNWIND_ADDRESS_BITS) {
    lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_ADDRESS);
    return scratch->stack.depth;
  }
  scratch->wanted_start = scratch->sp;
  scratch->wanted_end = scratch->sp + 8;
  if (lt_unwind_refill(scratch) == LT_UNWIND_STEP_DONE)
    return scratch->stack.depth;
  // The callback says when it is done; a loop that never does has run out of steps.
  if (bpf_loop(LT_UNWIND_MAX_ROUNDS, lt_unwind_round, &scratch, 0) == LT_UNWIND_MAX_ROUNDS)
    lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_TOO_MANY_STEPS);
  return scratch->stack.depth;
}

// Walks the current task's user stack. `pc_kind` says what `pc` is. Returns the number of frames, at least 1: frames[0]
// is `pc`. The stack and its outcome are in `scratch`.
static __always_inline int lt_unwind(struct lt_unwind_scratch *scratch, __u32 slot, __u32 generation,
                                     __u64 pc, __u64 sp, __u64 bp, __u32 pc_kind) {
  scratch->stack.frames[0] = pc;
  scratch->stack.depth = 1;
  scratch->stack.outcome = 0;
  scratch->process_slot = slot;
  scratch->generation = generation;
  scratch->lookup = pc - (pc_kind == LT_UNWIND_PC_RETURN);
  scratch->sp = sp;
  scratch->bp = bp;
  scratch->window_size = 0;
  return lt_unwind_run(scratch);
}
