// The registers of x86-64 as both halves name them.
#pragma once

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
