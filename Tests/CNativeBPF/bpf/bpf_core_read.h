// Takes the place of libbpf's header of this name: the host's "kernel" has the types of core.bpf.h and none of the fields
// that programs ask for by CO-RE, as the oldest kernels have.
#pragma once

#define bpf_core_field_exists(field) 0
#define bpf_core_enum_value_exists(type, value) 1
#define bpf_core_type_exists(type) 0
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_read(out, size, address) (__builtin_memcpy(out, address, size), 0L)
