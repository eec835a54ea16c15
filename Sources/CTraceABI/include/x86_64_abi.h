// The registers of x86-64 as both halves name them.
#pragma once

#include <linux/types.h>
#ifndef __bpf__
#include <stdbool.h>
#endif

#include "unwind_abi.h"

// Where an argument is at the probed instruction, as 4 bits of the cookie: the number that x86-64 gives the register.
enum lt_argument_register {
  LT_REG_AX,
  LT_REG_CX,
  LT_REG_DX,
  LT_REG_BX,
  LT_REG_SP,
  LT_REG_BP,
  LT_REG_SI,
  LT_REG_DI,
  LT_REG_R8,
  LT_REG_R9,
  LT_REG_R10,
  LT_REG_R11,
  LT_REG_R12,
  LT_REG_R13,
  LT_REG_R14,
  LT_REG_R15,
};

// ---- Code ---------------------------------------------------------------------------------------------------------
// What little of the instructions both halves must understand to go on where there is no call-frame information. `word` is
// always the 8 bytes of code at a place, the first byte lowest.

#define LT_CODE_INLINE static inline __attribute__((always_inline))

// How many bytes before a return address are looked at.
#define LT_CALL_BYTES 8

LT_CODE_INLINE __s64 lt_code_distance(__u64 word) { return (__s32)(__u32)word; }

// Whether the LT_CALL_BYTES bytes before a return address end with a call whose target is in the instruction, or in a word
// that the instruction names.
LT_CODE_INLINE bool lt_is_direct_call(__u64 word) { return (word >> 24 & 0xff) == 0xe8; }
LT_CODE_INLINE bool lt_is_slot_call(__u64 word) { return (word >> 16 & 0xffff) == 0x15ff; }

// Whether they end with a call through a register or through memory: ff /2 of each length.
LT_CODE_INLINE bool lt_is_computed_call(__u64 word) {
  // The byte behind the opcode, if the instruction is of 2, 3, 4, 6 or 7 bytes.
  __u64 two = word >> 56, three = word >> 48 & 0xff, four = word >> 40 & 0xff, six = word >> 24 & 0xff,
        seven = word >> 16 & 0xff;
  return ((word >> 48 & 0xff) == 0xff && ((two & 0xf8) == 0xd0 || ((two & 0xf8) == 0x10 && (two & 6) != 4))) ||
         ((word >> 40 & 0xff) == 0xff && (((three & 0xf8) == 0x50 && three != 0x54) || three == 0x14)) ||
         ((word >> 32 & 0xff) == 0xff && four == 0x54) ||
         ((word >> 16 & 0xff) == 0xff && (six & 0xf8) == 0x90 && six != 0x94) ||
         ((word >> 8 & 0xff) == 0xff && seven == 0x94);
}

// Where a direct call leads, or where the word lies that a slot call reads.
LT_CODE_INLINE __u64 lt_call_operand(__u64 word, __u64 return_address) {
  return return_address + (__u64)lt_code_distance(word >> 32);
}

// How many bytes of endbr64 are at a place.
LT_CODE_INLINE __u64 lt_landing_pad_bytes(__u64 word) { return (__u32)word == 0xfa1e0ff3 ? 4 : 0; }

// Where the entry of a procedure linkage table at `address` keeps its target's address; 0 if there is none:
// [bnd] jmp *slot(%rip), behind a landing pad.
LT_CODE_INLINE __u64 lt_linkage_slot(__u64 word, __u64 address) {
  if ((word & 0xffff) == 0x25ff)
    return address + 6 + (__u64)lt_code_distance(word >> 16);
  if ((word & 0xffffff) == 0x25fff2)
    return address + 7 + (__u64)lt_code_distance(word >> 24);
  return 0;
}

// Takes the instruction at prologue->address into account. False if it is none that stands in front of a function's work:
// registers saved, the stack pointer lowered, values moved between other registers.
LT_CODE_INLINE bool lt_prologue_step(struct lt_prologue *prologue, __u64 word) {
  __u64 first = word & 0xff, second = word >> 8 & 0xff;

  if ((first & 0xf8) == 0x50) {
    prologue->bytes += 8;
    prologue->address += 1;
    if (first == 0x55)
      prologue->frame_pointer = prologue->bytes;
    return true;
  }
  if (first == 0x41 && (second & 0xf8) == 0x50) {
    prologue->bytes += 8;
    prologue->address += 2;
    return true;
  }
  if ((word & 0xffffff) == 0xec8348) {
    prologue->bytes += (__u64)(__s64)(__s8)(word >> 24);
    prologue->address += 4;
    return true;
  }
  if ((word & 0xffffff) == 0xec8148) {
    prologue->bytes += (__u64)lt_code_distance(word >> 24);
    prologue->address += 7;
    return true;
  }
  if ((__u32)word == 0xfa1e0ff3) {
    prologue->address += 4;
    return true;
  }
  __u64 prefix = (first & 0xf0) == 0x40 ? first : 0;
  if (prefix) {
    word >>= 8;
    first = word & 0xff;
    second = word >> 8 & 0xff;
  }
  __u64 length = prefix ? 1 : 0;
  // mov $number, %register, but for the stack pointer.
  if ((first & 0xf8) == 0xb8 && !(prefix & 8) && (first != 0xbc || prefix & 1)) {
    prologue->address += length + 5;
    return true;
  }
  // mov and xor between registers, but for those that change the stack pointer.
  __u64 extended = 0, changed = 0;
  if (first == 0x89 || first == 0x31) {
    extended = prefix & 1;
    changed = second & 7;
  } else if (first == 0x8b || first == 0x33) {
    extended = prefix & 4;
    changed = second >> 3 & 7;
  } else {
    return false;
  }
  if (second < 0xc0 || (changed == 4 && !extended))
    return false;
  prologue->address += length + 2;
  return true;
}
