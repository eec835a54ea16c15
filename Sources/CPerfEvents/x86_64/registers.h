// Which registers of x86-64 a sample has, and the order in which they come: that of their numbers.
#pragma once

#include <asm/perf_regs.h>

#define SAMPLED_REGISTERS (1ull << PERF_REG_X86_BP | 1ull << PERF_REG_X86_SP | 1ull << PERF_REG_X86_IP)

enum { SAMPLED_FRAME_POINTER, SAMPLED_STACK_POINTER, SAMPLED_INSTRUCTION_POINTER, SAMPLED_REGISTER_COUNT };
