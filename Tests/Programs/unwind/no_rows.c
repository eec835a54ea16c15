// Code without call-frame information that uses the frame pointer's register for something else, as hand-written code does.
// no_rows: each case allocates 1000 bytes twice. The library part is called through its linkage table.
#include <stdlib.h>

#include "../steps.h"

static void *volatile kept;

NOINLINE void allocate_here(void) {
  kept = malloc(1000);
  KEEP_FRAME();
}

// Leaves addresses on the stack below, which frames that follow do not overwrite.
NOINLINE void leave_addresses(int depth) {
  volatile char room[64];
  room[0] = (char)depth;
  if (room[0] > 0)
    leave_addresses(depth - 1);
  KEEP_FRAME();
}

void bare_inner(void);
void bare_outer(void);
void bare_through_slot(void);
void bare_through_pointer(void (*function)(void));

__asm__(
    ".text\n"
    ".globl bare_inner, bare_outer, bare_through_slot, bare_through_pointer\n"
    ".type bare_inner, @function\n"
    "bare_inner:\n"
    "  push %rbp\n"
    "  push %rbx\n"
    "  sub $0x188, %rsp\n"
    "  mov $0x1234567, %ebp\n"
    "  call allocate_here@PLT\n"
    "  add $0x188, %rsp\n"
    "  pop %rbx\n"
    "  pop %rbp\n"
    "  ret\n"
    ".size bare_inner, . - bare_inner\n"
    ".type bare_outer, @function\n"
    "bare_outer:\n"
    "  push %rbp\n"
    "  sub $0x40, %rsp\n"
    "  lea 8(%rsp), %rbp\n"
    "  movq $0, 8(%rsp)\n"
    "  movq $77, 16(%rsp)\n"
    "  call bare_inner\n"
    "  add $0x40, %rsp\n"
    "  pop %rbp\n"
    "  ret\n"
    ".size bare_outer, . - bare_outer\n"
    ".type bare_through_slot, @function\n"
    "bare_through_slot:\n"
    "  push %rbp\n"
    "  mov $3, %ebp\n"
    "  call *bare_inner@GOTPCREL(%rip)\n"
    "  pop %rbp\n"
    "  ret\n"
    ".size bare_through_slot, . - bare_through_slot\n"
    ".type bare_through_pointer, @function\n"
    "bare_through_pointer:\n"
    "  push %rbp\n"
    "  mov $3, %ebp\n"
    "  call *%rdi\n"
    "  pop %rbp\n"
    "  ret\n"
    ".size bare_through_pointer, . - bare_through_pointer\n");

NOINLINE static void case_inner(void) {
  bare_inner();
  KEEP_FRAME();
}

NOINLINE static void case_outer(void) {
  bare_outer();
  KEEP_FRAME();
}

NOINLINE static void case_slot(void) {
  bare_through_slot();
  KEEP_FRAME();
}

// What was called through a pointer cannot be told from what lies on the stack by accident.
NOINLINE static void case_pointer(void) {
  bare_through_pointer(bare_inner);
  KEEP_FRAME();
}

int main(void) {
  step();
  for (int i = 0; i < 2; i++) {
    leave_addresses(20);
    case_inner();
    leave_addresses(20);
    case_outer();
    leave_addresses(20);
    case_slot();
    leave_addresses(20);
    case_pointer();
  }
  step();
  return 0;
}
