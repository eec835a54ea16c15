#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <unistd.h>

#include "CUnwindOracle.h"

enum { RBP = 6, RSP = 7, RIP = 16 };

struct oracle_file {
  int descriptor;
  Elf *elf;
  Dwarf_CFI *cfi;
};

int oracle_open(const char *path, oracle_file **out) {
  elf_version(EV_CURRENT);
  oracle_file *file = calloc(1, sizeof(*file));
  file->descriptor = open(path, O_RDONLY | O_CLOEXEC);
  file->elf = elf_begin(file->descriptor, ELF_C_READ_MMAP, NULL);
  file->cfi = file->elf ? dwarf_getcfi_elf(file->elf) : NULL;
  if (!file->cfi) {
    oracle_close(file);
    return -1;
  }
  *out = file;
  return 0;
}

void oracle_close(oracle_file *file) {
  if (file->cfi)
    dwarf_cfi_end(file->cfi);
  if (file->elf)
    elf_end(file->elf);
  close(file->descriptor);
  free(file);
}

// base + offset, in either spelling.
static int base_register(const Dwarf_Op *op, struct oracle_value *value) {
  if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
    value->base = op->atom - DW_OP_breg0;
    value->offset = (int64_t)op->number;
  } else if (op->atom == DW_OP_bregx) {
    value->base = op->number;
    value->offset = (int64_t)op->number2;
  } else {
    return -1;
  }
  return 0;
}

static struct oracle_value cfa_value(const Dwarf_Op *ops, size_t count) {
  struct oracle_value value = {.kind = ORACLE_OTHER};
  if (count == 0 || base_register(&ops[0], &value))
    return value;
  if (count == 1) {
    value.kind = ORACLE_RELATIVE;
  } else if (ops[1].atom == DW_OP_deref && (count == 2 || (count == 3 && ops[2].atom == DW_OP_plus_uconst))) {
    value.kind = ORACLE_DEREFERENCED;
    value.addend = count == 3 ? ops[2].number : 0;
  } else if (count == 9 && value.base == RSP && ops[1].atom == DW_OP_breg16 && ops[1].number == 0 &&
             ops[2].atom == DW_OP_lit15 && ops[3].atom == DW_OP_and && ops[4].atom >= DW_OP_lit0 &&
             ops[4].atom <= DW_OP_lit31 && ops[5].atom == DW_OP_ge && ops[6].atom == DW_OP_lit3 &&
             ops[7].atom == DW_OP_shl && ops[8].atom == DW_OP_plus) {
    value.kind = ORACLE_LINKAGE_TABLE;
    value.addend = ops[4].atom - DW_OP_lit0;
  }
  return value;
}

static struct oracle_value register_value(Dwarf_Frame *frame, int number) {
  struct oracle_value value = {.kind = ORACLE_OTHER};
  Dwarf_Op memory[3], *ops = NULL;
  size_t count = 0;
  if (dwarf_frame_register(frame, number, memory, &ops, &count))
    return value;
  if (count == 0) {
    value.kind = ops == memory ? ORACLE_UNDEFINED : ORACLE_SAME;
  } else if (ops[0].atom == DW_OP_call_frame_cfa) {
    if (count == 1)
      value.kind = ORACLE_CFA_OFFSET;
    else if (count == 2 && base_register(&ops[1], &value) == 0) {
      value.kind = ORACLE_RELATIVE;  // an expression, which finds the CFA on its stack
    } else if (count == 2 && ops[1].atom == DW_OP_plus_uconst) {
      value.kind = ORACLE_CFA_OFFSET;
      value.offset = (int64_t)ops[1].number;
    } else if (count == 2 && ops[1].atom == DW_OP_stack_value) {
      value.kind = ORACLE_SAME;  // the register is the CFA
    }
  } else if (count == 1 && base_register(&ops[0], &value) == 0) {
    value.kind = ORACLE_RELATIVE;
  }
  return value;
}

int oracle_find_row(oracle_file *file, uint64_t address, struct oracle_row *out) {
  Dwarf_Frame *frame = NULL;
  if (dwarf_cfi_addrframe(file->cfi, address, &frame))
    return -1;
  Dwarf_Op *ops = NULL;
  size_t count = 0;
  *out = (struct oracle_row){.cfa = {.kind = ORACLE_OTHER}};
  int return_register = dwarf_frame_info(frame, &out->start, &out->end, &out->is_signal_frame);
  if (dwarf_frame_cfa(frame, &ops, &count) == 0)
    out->cfa = cfa_value(ops, count);
  out->rbp = register_value(frame, RBP);
  out->rsp = register_value(frame, RSP);
  out->return_address = register_value(frame, RIP);
  free(frame);
  return return_register == RIP ? 0 : -1;
}
