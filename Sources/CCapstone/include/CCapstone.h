// CCapstone: the Capstone disassembler, used for instruction lengths, operands and Intel-syntax text.
#pragma once

#include <capstone/capstone.h>
