#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

#include "CUnwindOracle.h"
#include "unwind_probe_abi.h"

struct oracle_process {
  Dwfl *dwfl;
  const struct lt_probe_sample *sample;
  uint64_t *frames;
  int capacity, count;
};

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_linux_proc_find_elf,
    // Debug information files are of no use for call frames.
    .find_debuginfo = NULL,
};

static int no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
                        const char *link, GElf_Word crc, char **out) {
  (void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)out;
  return -1;
}

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread) {
  (void)dwfl;
  if (*thread)
    return 0;
  *thread = argument;
  return 1;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument) {
  (void)dwfl;
  const struct lt_probe_sample *sample = ((oracle_process *)argument)->sample;
  uint64_t start = sample->sp & ~4095ULL, size = sample->stack_pages * 4096;
  if (address < start || address - start > size - 8 || size == 0)
    return false;
  memcpy(result, (const char *)sample->stack + (address - start), 8);
  return true;
}

static bool set_registers(Dwfl_Thread *thread, void *argument) {
  const struct lt_probe_sample *sample = ((oracle_process *)argument)->sample;
  // In DWARF's order; those that a callee need not save are unknown after a return, and never needed.
  Dwarf_Word registers[17] = {
      [3] = sample->kept[0],  [6] = sample->fp,       [7] = sample->sp,       [12] = sample->kept[1],
      [13] = sample->kept[2], [14] = sample->kept[3], [15] = sample->kept[4], [16] = sample->pc};
  return dwfl_thread_state_registers(thread, 0, 17, registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .memory_read = read_memory,
    .set_initial_registers = set_registers,
};

static Dwfl_Callbacks all_callbacks;

int oracle_attach(int process, oracle_process **out) {
  all_callbacks = callbacks;
  all_callbacks.find_debuginfo = no_debuginfo;
  oracle_process *state = calloc(1, sizeof(*state));
  state->dwfl = dwfl_begin(&all_callbacks);
  if (!state->dwfl || dwfl_linux_proc_report(state->dwfl, process) || dwfl_report_end(state->dwfl, NULL, NULL) ||
      !dwfl_attach_state(state->dwfl, NULL, process, &thread_callbacks, state)) {
    oracle_detach(state);
    return -1;
  }
  *out = state;
  return 0;
}

void oracle_detach(oracle_process *process) {
  if (process->dwfl)
    dwfl_end(process->dwfl);
  free(process);
}

static int on_frame(Dwfl_Frame *frame, void *argument) {
  oracle_process *process = argument;
  Dwarf_Addr pc;
  if (process->count == process->capacity)
    return DWARF_CB_ABORT;
  if (dwfl_frame_pc(frame, &pc, NULL) && pc)
    process->frames[process->count++] = pc;
  return DWARF_CB_OK;
}

int oracle_unwind(oracle_process *process, const struct lt_probe_sample *sample, uint64_t *frames, int capacity,
                  _Bool *is_complete) {
  process->sample = sample;
  process->frames = frames;
  process->capacity = capacity;
  process->count = 0;
  *is_complete = dwfl_getthread_frames(process->dwfl, 1, on_frame, process) == 0;
  return process->count;
}
