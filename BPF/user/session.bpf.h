// What every header of a trace of programs begins with: the session's configuration and its counters.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"

// Each program defines it.
extern LT_LOAD_TIME struct lt_configuration configuration;

#define COUNTER_COUNT LT_COUNTER_MAX
#include "common/counters.bpf.h"
