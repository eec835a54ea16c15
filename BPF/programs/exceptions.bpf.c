// Lets exceptions out of allocator functions that have a return probe. The probe has replaced the function's return address, so
// that the unwinder, which looks for a handler, would find code without call-frame information behind the function and end the
// process. A program of its own object: kernels in lockdown refuse it. Then exception_held in process_lifecycle.bpf.c asks user
// space.
#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "unwind/returns.bpf.h"
#include "user/processes.bpf.h"
#include "user/thread_state.bpf.h"

// At the beginning of the unwinder's search for a handler. An exception that is raised inside an allocator function which may
// throw leaves it, so its return is no longer waited for, and its return address is put back. Where a return probe cannot be
// skipped, the same is done for calls that are not waited for: nested ones, and those for more memory than there is.
SEC("uprobe")
int exception_raised(struct pt_regs *regs) {
  __u64 cookie = bpf_get_attach_cookie(regs), sp = lt_stack_pointer(regs);
  __u32 slot = cookie >> LT_COOKIE_SLOT_SHIFT;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (!process)
    return 0;
  bool is_inside = state && !state->return_address && is_inside_call(state, process, sp);
  if (is_inside ? !state->may_throw : !(cookie & LT_COOKIE_ALWAYS_RETURNS))
    return 0;
  __u64 last = is_inside ? state->stack_pointer : ~0ull;

  struct return_instance___lt_unwind *instance = lt_unwind_first_return();
  for (int i = 0; i < LT_UNWIND_MAX_RETURN_INSTANCES && instance; i++) {
    unsigned long place = 0, original = 0;
    __u64 word = 0;
    bpf_core_read(&place, sizeof(place), &instance->stack);
    bpf_core_read(&original, sizeof(original), &instance->orig_ret_vaddr);
    if (place >= sp && place <= last && !bpf_probe_read_user(&word, sizeof(word), (void *)place) &&
        word == uprobes_trampoline(process))
      bpf_probe_write_user((void *)place, &original, sizeof(original));
    bpf_core_read(&instance, sizeof(instance), &instance->next);
  }
  if (is_inside) {
    state->stack_pointer = 0;
    __sync_fetch_and_add(&process->failed_allocations, 1);
  }
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
