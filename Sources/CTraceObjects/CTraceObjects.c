#include "CTraceObjects.h"

// The folder of objects that Scripts/build-bpf makes for the processor that this is compiled for.
#if defined(__x86_64__)
#define CTRACE_PROCESSOR_TOKEN x86_64
#else
#error "there are no programs for this processor: see docs/contributing.md"
#endif

// clang-format would take the path for a division.
// clang-format off
#define PATH(processor, name) objects/processor/name.bpf.o
// clang-format on
#define QUOTED(tokens) QUOTED_AS_IS(tokens)
#define QUOTED_AS_IS(tokens) #tokens
#define OBJECT(name) QUOTED(PATH(CTRACE_PROCESSOR_TOKEN, name))

// Aligned, because libbpf reads 64-bit fields in place.

_Alignas(16) static const unsigned char user_allocations_bytes[] = {
#embed OBJECT(user_allocations)
};

ctrace_object ctrace_user_allocations(void) {
  return (ctrace_object){user_allocations_bytes, sizeof(user_allocations_bytes)};
}

_Alignas(16) static const unsigned char process_lifecycle_bytes[] = {
#embed OBJECT(process_lifecycle)
};

ctrace_object ctrace_process_lifecycle(void) {
  return (ctrace_object){process_lifecycle_bytes, sizeof(process_lifecycle_bytes)};
}

_Alignas(16) static const unsigned char kernel_allocations_bytes[] = {
#embed OBJECT(kernel_allocations)
};

ctrace_object ctrace_kernel_allocations(void) {
  return (ctrace_object){kernel_allocations_bytes, sizeof(kernel_allocations_bytes)};
}

_Alignas(16) static const unsigned char address_space_bytes[] = {
#embed OBJECT(address_space)
};

ctrace_object ctrace_address_space(void) { return (ctrace_object){address_space_bytes, sizeof(address_space_bytes)}; }

_Alignas(16) static const unsigned char oom_victims_bytes[] = {
#embed OBJECT(oom_victims)
};

ctrace_object ctrace_oom_victims(void) { return (ctrace_object){oom_victims_bytes, sizeof(oom_victims_bytes)}; }

_Alignas(16) static const unsigned char exceptions_bytes[] = {
#embed OBJECT(exceptions)
};

ctrace_object ctrace_exceptions(void) { return (ctrace_object){exceptions_bytes, sizeof(exceptions_bytes)}; }

const char *ctrace_processor(void) { return QUOTED(CTRACE_PROCESSOR_TOKEN); }
