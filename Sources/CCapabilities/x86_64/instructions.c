// Functions of x86-64 whose first instruction the kernel does, and does not, emulate for a uprobe.
#include "CCapabilities.h"

__attribute__((naked, noinline, used)) void ccapability_emulated(void) {
  __asm__ volatile("push %rbp\n\tpop %rbp\n\tret");
}

__attribute__((naked, noinline, used)) void ccapability_stepped(void) { __asm__ volatile("test %rdi, %rdi\n\tret"); }
