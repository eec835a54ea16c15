// Complete user stacks without frame pointers: walks call-frame information that user space converted to tables.
//
// Use, in any program that runs in the context of the traced task:
//
//   struct lt_unwind_scratch *scratch = lt_unwind_claim();
//   if (!scratch) return 0;                    // all scratch areas of this CPU are busy; counted
//   lt_unwind(scratch, slot, generation, pc, sp, fp, LT_UNWIND_PC_EXACT or _RETURN);
//   … scratch->stack.frames[0 … scratch->stack.depth − 1], scratch->stack.outcome …
//   lt_unwind_release(scratch);
//
// and, where the process changes:
//
//   lt_unwind_forget(slot)                                exec, a slot given to another process
//   lt_unwind_recheck(slot)                               code may have been exchanged
//   lt_unwind_inherit(parent, parent_generation, child, child_generation)   fork
//
// Each header includes what it uses, in this order, and none includes one that comes after it:
//
//   maps        what user space publishes, counters, scratch memory
//   identity    what tells one memory area from another
//   frames      appending a frame, ending a walk
//   changes     what becomes of a process's tables when it changes
//   lookup      from a pc to its rule
//   steps       reading the stack, rules that are not plain
//   validation  whether what is published still holds
//   unwind      the walk itself: this header
//   samples     copies of stacks for user space to complete
//
// The walker needs Linux 5.17 (bpf_loop). It costs the verifier 31,000 instructions, some 25 ms, per program. Programs that
// walk must not be sleepable: memory is used again after an RCU grace period.
#pragma once

#include "common/core.bpf.h"
#include "unwind/changes.bpf.h"
#include "unwind/frames.bpf.h"
#include "unwind/lookup.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind/steps.bpf.h"
#include "unwind/validation.bpf.h"
#include "unwind_abi.h"

// The pc is where the task stands (a probe at an instruction, a system call).
#define LT_UNWIND_PC_EXACT 0
// The pc is the address that a function is about to return to, and sp is above it (a uretprobe).
#define LT_UNWIND_PC_RETURN 1

// Rounds end at a cache miss, at the end of a window and at a special rule: each frame can cause all three.
#define LT_UNWIND_MAX_ROUNDS 400
// The first window where it is not known how far the stack goes.
#define LT_UNWIND_FIRST_WINDOW_BYTES 2048
#define LT_UNWIND_MAX_PREDICTED_BYTES (1ULL << 20)

// The fast path: frames whose rule is cached and plain. Its variables stay in registers; it is not a function of its own,
// because returning is dear where the kernel guards returns. Places on the stack count from the window's start: the fewer
// operations between one frame's return address and the next, the better. Rare steps stand behind the loop, where the
// verifier arrives last: by then it has checked the common path for all values, and need not follow it again from there.
static __always_inline int lt_unwind_fast(struct lt_unwind_scratch *scratch) {
  __u32 zero = 0, i = 0;
  struct lt_unwind_cache *cache = bpf_map_lookup_elem(&lt_unwind_cache, &zero);
  if (!scratch || !cache)
    return LT_UNWIND_STEP_DONE;

  // The cache's key is lookup | address space, and lookup is one less than a return address.
  __u64 key_base = scratch->address_space - 1, pc = scratch->lookup + 1;
  __u64 window_start = scratch->window_start, limit = scratch->window_limit;
  __u64 sp = scratch->sp - window_start, fp = scratch->fp - window_start;
  __u64 start = lt_bound(scratch->stack.depth, LT_MAX_STACK_DEPTH);
  __u64 *frames = (void *)scratch + __builtin_offsetof(struct lt_stack, frames) + start * 8;
  void *window = scratch->window;
  __u64 hash, tag, code, bytes, place, slot, saved, size, *set;
  int step = LT_UNWIND_STEP_AGAIN;

  for (; i < LT_UNWIND_FRAMES_PER_ROUND; i++) {
    hash = (pc + key_base) * LT_UNWIND_CACHE_MULTIPLIER;
    tag = hash << 16;
    set = (void *)cache + (hash >> 44 & (LT_UNWIND_CACHE_WORDS - 2) * 8);
    code = set[0] ^ tag;
    if (code >> 15 != 1)
      goto other_rule;
  plain_rule:
    bytes = (code & LT_UNWIND_CODE_WORDS_MASK) * 8;
    place = sp + bytes;
    if (code & LT_UNWIND_CODE_FRAME_POINTER) {
      place = fp + bytes;
      if ((__s64)place < (__s64)sp || (place & 7))
        goto invalid;
    }
    slot = code >> LT_UNWIND_CODE_SLOT_SHIFT & LT_UNWIND_CODE_SLOT_MASK;
    saved = place - slot * 8;
    if (saved >= limit)
      goto refill;
  in_window:
    if (slot)
      fp = *(__u64 *)(window + (saved & (LT_UNWIND_WINDOW_BYTES - 8))) - window_start;
    pc = *(__u64 *)(window + (place & (LT_UNWIND_WINDOW_BYTES - 8)));
    sp = place + 8;
    if ((pc - LT_UNWIND_PAGE_BYTES) >> LT_UNWIND_ADDRESS_BITS)
      goto no_address;
    frames[i] = pc;
  }
finish:
  scratch->window_start = window_start;
  scratch->window_limit = limit;
  scratch->lookup = pc - 1;
  scratch->sp = sp + window_start;
  scratch->fp = fp + window_start;
  i += start;
  if (i > LT_MAX_STACK_DEPTH) {
    scratch->stack.depth = LT_MAX_STACK_DEPTH;
    return lt_unwind_finish(scratch, LT_OUTCOME_TRUNCATED, 0);
  }
  scratch->stack.depth = i;
  if (step == LT_UNWIND_STEP_NO_ADDRESS)
    return lt_unwind_push(scratch, pc, 0, 0, 1);
  if (step == LT_UNWIND_STEP_INVALID)
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);
  return step;

other_rule:
  if (code - 1 >= 0xffff)
    code = set[1] ^ tag;
  if (code >> 15 == 1)
    goto plain_rule;
  scratch->code = code;
  step = LT_UNWIND_STEP_MISS;
  if (code - 1 < 0xffff)
    step = code == LT_UNWIND_RULE_ID_END ? LT_UNWIND_STEP_DONE : LT_UNWIND_STEP_SPECIAL;
  goto finish;

refill:
  size = lt_unwind_window_bytes(scratch, cache, window_start + saved);
  if (!size || size > LT_UNWIND_WINDOW_BYTES || bpf_probe_read_user(window, size, (void *)(window_start + saved))) {
    scratch->code = code;
    scratch->wanted_start = window_start + saved;
    scratch->wanted_end = window_start + place + 8;
    step = LT_UNWIND_STEP_REFILL;
    goto finish;
  }
  limit = size - LT_UNWIND_WINDOW_MARGIN;
  window_start += saved;
  sp -= saved;
  fp -= saved;
  place -= saved;
  saved = 0;
  goto in_window;

invalid:
  step = LT_UNWIND_STEP_INVALID;
  goto finish;
no_address:
  step = LT_UNWIND_STEP_NO_ADDRESS;
  goto finish;
}

static long lt_unwind_round([[maybe_unused]] __u32 index, void *context) {
  struct lt_unwind_scratch *scratch = *(struct lt_unwind_scratch **)context;
  int step = lt_unwind_fast(scratch);

  if (step == LT_UNWIND_STEP_MISS)
    step = lt_unwind_find(scratch);
  else if (step == LT_UNWIND_STEP_REFILL)
    step = lt_unwind_refill(scratch);
  if (step == LT_UNWIND_STEP_SPECIAL)
    step = lt_unwind_special(scratch);
  if (step == LT_UNWIND_STEP_NO_ROW)
    step = lt_unwind_no_row(scratch);
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
  if (scratch->sp & 7) {
    lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);
    return scratch->stack.depth;
  }
  scratch->window_start = 0;
  scratch->window_limit = 0;
  // Each thread's stacks end at one address.
  __u64 distance = scratch->last_end - scratch->sp;
  if (distance > LT_UNWIND_MAX_PREDICTED_BYTES)
    scratch->expected_end = scratch->sp + LT_UNWIND_FIRST_WINDOW_BYTES;
  else
    scratch->expected_end = scratch->last_end + LT_UNWIND_WINDOW_MARGIN + 8;
  // The callback says when it is done; a loop that never does has run out of steps.
  if (bpf_loop(LT_UNWIND_MAX_ROUNDS, lt_unwind_round, &scratch, 0) == LT_UNWIND_MAX_ROUNDS)
    lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_TOO_MANY_STEPS);
  if (LT_UNWIND_STATUS(scratch->stack.outcome) == LT_OUTCOME_COMPLETE)
    scratch->last_end = scratch->sp;
  return scratch->stack.depth;
}

// Walks the current task's user stack. `pc_kind` says what `pc` is. Returns the number of frames, at least 1: frames[0]
// is `pc`. The stack and its outcome are in `scratch`.
static __always_inline int lt_unwind(struct lt_unwind_scratch *scratch, __u32 slot, __u32 generation, __u64 pc,
                                     __u64 sp, __u64 fp, __u32 pc_kind) {
  scratch->stack.frames[0] = pc;
  scratch->stack.depth = 1;
  scratch->stack.outcome = 0;
  scratch->process_slot = slot;
  scratch->generation = generation;
  scratch->lookup = pc - (pc_kind == LT_UNWIND_PC_RETURN);
  scratch->sp = sp;
  scratch->fp = fp;
  return lt_unwind_run(scratch);
}
