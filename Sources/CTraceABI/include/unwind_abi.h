#pragma once
#include <linux/types.h>

// The deepest stack that is recorded, leaf included.
#define LT_MAX_STACK_DEPTH 127

// How a walk ended.
enum lt_unwind_outcome {
  LT_OUTCOME_COMPLETE = 0,
  LT_OUTCOME_TRUNCATED = 1,
  LT_OUTCOME_BROKEN = 2,
  LT_OUTCOME_FRAME_POINTERS = 3,
};
