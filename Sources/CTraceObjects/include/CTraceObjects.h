// The compiled BPF objects, part of the executable.
#pragma once

#include <stddef.h>

#pragma clang assume_nonnull begin

typedef struct {
  const void *bytes;
  size_t size;
} ctrace_object;

// The processor that the programs are compiled for, as its folders are named: "x86_64".
const char *ctrace_processor(void);

ctrace_object ctrace_user_allocations(void);
ctrace_object ctrace_process_lifecycle(void);
ctrace_object ctrace_kernel_allocations(void);
ctrace_object ctrace_address_space(void);
ctrace_object ctrace_oom_victims(void);
ctrace_object ctrace_exceptions(void);

#pragma clang assume_nonnull end
