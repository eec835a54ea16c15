// elfutils as the independent authority on call-frame information: rows by libdw, stacks by libdwfl. For tests.
#pragma once

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// ---- Rows ----

typedef struct oracle_file oracle_file;

enum oracle_kind {
  ORACLE_SAME,           // a register: not saved
  ORACLE_UNDEFINED,      // a register: unknown
  ORACLE_CFA_OFFSET,     // a register: in memory at CFA + offset
  ORACLE_RELATIVE,       // a register: in memory at base + offset; the CFA: base + offset
  ORACLE_DEREFERENCED,   // the CFA: *(base + offset) + addend
  ORACLE_LINKAGE_TABLE,  // the CFA: rsp + offset + (pc & 15 >= addend) * 8
  ORACLE_OTHER,
};

struct oracle_value {
  enum oracle_kind kind;
  uint64_t base;
  int64_t offset;
  uint64_t addend;
};

struct oracle_row {
  // The range of addresses for which the row holds.
  uint64_t start, end;
  _Bool is_signal_frame;
  struct oracle_value cfa, rbp, rsp, return_address;
};

// Opens an ELF file's .eh_frame. Returns 0 or −1.
int oracle_open(const char *path, oracle_file *_Nullable *_Nonnull out);
void oracle_close(oracle_file *file);
// The row for an address. Returns 0, or −1 if there is none.
int oracle_find_row(oracle_file *file, uint64_t address, struct oracle_row *out);

// ---- Stacks ----

struct lt_probe_sample;

typedef struct oracle_process oracle_process;

// Prepares to unwind stacks of a live process with its mappings as they are now. Returns 0 or −1.
int oracle_attach(int process, oracle_process *_Nullable *_Nonnull out);
void oracle_detach(oracle_process *process);
// Unwinds the copy of a stack, leaf first. Frames after a memory access outside of the copy are missing; `*is_complete`
// tells whether the outermost frame was reached. Returns the number of frames.
int oracle_unwind(oracle_process *process, const struct lt_probe_sample *sample, uint64_t *frames, int capacity,
                  _Bool *is_complete);

#pragma clang assume_nonnull end
