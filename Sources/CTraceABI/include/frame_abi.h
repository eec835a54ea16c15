// What the words of a call stack are. Each frame is one 64-bit word whose upper bits say what kind it is of, so that native
// code and what runs in an interpreter can stand in one stack:
//   bits 0–46 the payload: an address, or what a runtime knows the frame by   bits 47–63 the kind
// Addresses of user space lie below 2^47 and those of the kernel have all upper bits set, so that an address is a frame of
// its kind already: the stack walker writes native frames without a step more.
#pragma once

#include <linux/types.h>

#define LT_FRAME_KIND_SHIFT 47
#define LT_FRAME_PAYLOAD_MASK ((1ull << LT_FRAME_KIND_SHIFT) - 1)

enum lt_frame_kind {
  LT_FRAME_NATIVE = 0,         // payload: an address of user space
  LT_FRAME_FIRST_RUNTIME = 1,  // from here on each kind is one runtime's, who alone knows what the payload is
  LT_FRAME_LAST_RUNTIME = 0xff,
  LT_FRAME_KERNEL = 0x1ffff,  // the whole word is an address of the kernel
};

static inline __attribute__((always_inline)) __u64 lt_frame(__u32 kind, __u64 payload) {
  return (__u64)kind << LT_FRAME_KIND_SHIFT | (payload & LT_FRAME_PAYLOAD_MASK);
}

static inline __attribute__((always_inline)) __u32 lt_frame_kind_of(__u64 frame) {
  return (__u32)(frame >> LT_FRAME_KIND_SHIFT);
}

static inline __attribute__((always_inline)) __u64 lt_frame_payload(__u64 frame) {
  return frame & LT_FRAME_PAYLOAD_MASK;
}

_Static_assert(0x00007fffffffffffull >> LT_FRAME_KIND_SHIFT == LT_FRAME_NATIVE, "the highest user address is native");
_Static_assert(0xffff800000000000ull >> LT_FRAME_KIND_SHIFT == LT_FRAME_KERNEL,
               "the lowest kernel address is the kernel's");
