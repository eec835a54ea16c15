#pragma once
#include <linux/types.h>

// The deepest stack that is recorded, leaf included.
#define LT_MAX_STACK_DEPTH 127
