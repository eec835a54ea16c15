// What every step of a walk does: appends a frame, or ends the walk for a reason.
#pragma once

#include "common/core.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind_abi.h"

// How a round ended.
enum lt_unwind_step {
  LT_UNWIND_STEP_AGAIN,
  LT_UNWIND_STEP_MISS,
  LT_UNWIND_STEP_REFILL,
  LT_UNWIND_STEP_SPECIAL,
  LT_UNWIND_STEP_NO_ROW,
  LT_UNWIND_STEP_INVALID,
  LT_UNWIND_STEP_NO_ADDRESS,
  LT_UNWIND_STEP_DONE,
};

static __always_inline int lt_unwind_finish(struct lt_unwind_scratch *scratch, enum lt_unwind_outcome status,
                                            enum lt_unwind_counter reason) {
  scratch->stack.outcome |= status | (__u32)reason << 8;
  if (reason)
    lt_unwind_count(reason);
  if (status == LT_OUTCOME_TRUNCATED)
    lt_unwind_count(LT_UNWIND_TRUNCATED_STACK);
  return LT_UNWIND_STEP_DONE;
}

// Appends a frame and makes it the current one. A return address of 0 ends the stack.
static __always_inline int lt_unwind_push(struct lt_unwind_scratch *scratch, __u64 pc, __u64 sp, __u64 fp,
                                          __u64 lookup_distance) {
  __u32 depth = scratch->stack.depth;

  if (!pc)
    return lt_unwind_finish(scratch, LT_OUTCOME_COMPLETE, 0);
  if (pc < LT_UNWIND_PAGE_BYTES || pc >> LT_UNWIND_ADDRESS_BITS)
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_ADDRESS);
  if (depth >= LT_MAX_STACK_DEPTH)
    return lt_unwind_finish(scratch, LT_OUTCOME_TRUNCATED, 0);
  scratch->stack.frames[lt_bound(depth, LT_MAX_STACK_DEPTH)] = pc;
  scratch->stack.depth = depth + 1;
  scratch->lookup = pc - lookup_distance;
  scratch->sp = sp;
  scratch->fp = fp;
  return LT_UNWIND_STEP_AGAIN;
}
