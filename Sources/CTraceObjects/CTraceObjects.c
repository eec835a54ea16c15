#include "CTraceObjects.h"

// Aligned, because libbpf reads 64-bit fields in place.

_Alignas(16) static const unsigned char user_allocations_bytes[] = {
#embed "objects/user_allocations.bpf.o"
};

ctrace_object ctrace_user_allocations(void) {
  return (ctrace_object){user_allocations_bytes, sizeof(user_allocations_bytes)};
}

_Alignas(16) static const unsigned char process_lifecycle_bytes[] = {
#embed "objects/process_lifecycle.bpf.o"
};

ctrace_object ctrace_process_lifecycle(void) {
  return (ctrace_object){process_lifecycle_bytes, sizeof(process_lifecycle_bytes)};
}

_Alignas(16) static const unsigned char kernel_allocations_bytes[] = {
#embed "objects/kernel_allocations.bpf.o"
};

ctrace_object ctrace_kernel_allocations(void) {
  return (ctrace_object){kernel_allocations_bytes, sizeof(kernel_allocations_bytes)};
}

_Alignas(16) static const unsigned char address_space_bytes[] = {
#embed "objects/address_space.bpf.o"
};

ctrace_object ctrace_address_space(void) {
  return (ctrace_object){address_space_bytes, sizeof(address_space_bytes)};
}

_Alignas(16) static const unsigned char oom_victims_bytes[] = {
#embed "objects/oom_victims.bpf.o"
};

ctrace_object ctrace_oom_victims(void) {
  return (ctrace_object){oom_victims_bytes, sizeof(oom_victims_bytes)};
}
