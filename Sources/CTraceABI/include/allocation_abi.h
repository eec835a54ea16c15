#pragma once
#include <linux/types.h>

// How many processes one session can trace at once; a process slot is an index below this.
#define LT_MAX_PROCESS_SLOTS 1024
