// What a thread is in the middle of. Task storage goes with the task, so a thread that exits inside malloc leaves
// nothing behind.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct lt_thread_state);
} thread_states SEC(".maps");

// Where the kernel keeps the page that return probes return through; a return address that it replaced points there.
struct xol_area {
  unsigned long vaddr;
} __attribute__((preserve_access_index));

struct uprobes_state {
  struct xol_area *xol_area;
} __attribute__((preserve_access_index));

struct mm_struct___uprobes {
  struct uprobes_state uprobes_state;
} __attribute__((preserve_access_index));

// 0 before the first return probe of the process.
static __always_inline __u64 uprobes_trampoline(struct lt_process *process) {
  if (!process->uprobes_trampoline) {
    struct mm_struct___uprobes *memory = (void *)BPF_CORE_READ(bpf_get_current_task_btf(), mm);
    process->uprobes_trampoline = BPF_CORE_READ(memory, uprobes_state.xol_area, vaddr);
  }
  return process->uprobes_trampoline;
}

// Whether the outermost call that the state names is still on the stack. A deeper stack pointer alone does not tell:
// the call may have been left by longjmp or an exception and the stack grown again. Its return address was replaced
// by the kernel's trampoline when it was entered; when that is no longer there, the call is over.
static __always_inline bool is_inside_call(const struct lt_thread_state *state, struct lt_process *process,
                                           __u64 stack_pointer) {
  // Equal: a tail call, as glibc's realloc(NULL, n) makes to malloc.
  if (!state->stack_pointer || stack_pointer > state->stack_pointer)
    return false;
  __u64 expected = state->return_address ? state->return_address : uprobes_trampoline(process);
  __u64 word = 0;
  if (!expected)
    return true;
  if (bpf_probe_read_user(&word, sizeof(word), (void *)state->stack_pointer))
    return false;
  return word == expected;
}
