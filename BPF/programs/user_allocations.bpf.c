// Probes on a process's allocator functions: every block is recorded at the outermost call's return and removed at
// the entry of the call that frees it.
#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "user/calls.bpf.h"
#include "user/free_places.bpf.h"
#include "user/gates.bpf.h"
#include "user/outstanding.bpf.h"
#include "user/processes.bpf.h"
#include "user/sampling.bpf.h"
#include "user/stacks.bpf.h"
#include "user/thread_state.bpf.h"

LT_LOAD_TIME struct lt_configuration configuration SEC(".rodata");

extern bool bpf_session_is_return(void) __ksym __weak;

// count × size as calloc sees it; false when it overflows and the call is going to fail.
static __always_inline bool multiply(__u64 count, __u64 size, __u64 *product) {
  __u64 most = size ? ~0ull / size : ~0ull;
  barrier_var(most);  // or the compiler makes a 128-bit product of it, which BPF does not have
  *product = count * size;
  return count <= most;
}

// Returns whether the return of this call must be seen.
static __always_inline bool enter_allocation(struct pt_regs *regs, __u64 cookie) {
  __u32 slot = cookie >> LT_COOKIE_SLOT_SHIFT;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  if (!process)
    return false;
  count_hit(cookie);

  __u32 kind = cookie & 0xff;
  __u64 first = argument(regs, cookie, 0);
  __u64 size = first, pointer = 0;
  bool can_succeed = true;
  if (kind == LT_ALLOCATE_COUNTED) {
    can_succeed = multiply(first, argument(regs, cookie, 1), &size);
  } else if (kind == LT_REALLOCATE || kind == LT_ALLOCATE_TO_POINTER) {
    pointer = first;
    size = argument(regs, cookie, 1);
  } else if (kind == LT_REALLOCATE_COUNTED) {
    pointer = first;
    can_succeed = multiply(argument(regs, cookie, 1), argument(regs, cookie, 2), &size);
  }

  __u64 stack_pointer = lt_stack_pointer(regs);
  bool may_nest = cookie >> LT_COOKIE_FLAGS_SHIFT & LT_COOKIE_MAY_NEST;
  bool is_reallocation = (kind == LT_REALLOCATE || kind == LT_REALLOCATE_COUNTED) && pointer;
  struct task_struct *task = bpf_get_current_task_btf();
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, task, 0, 0);
  if (state && state->stack_pointer) {
    if (is_inside_call(state, process, stack_pointer)) {
      count_one(LT_COUNTER_NESTED_CALLS);
      return false;
    }
    count_one(LT_COUNTER_ABANDONED_CALLS);
    state->stack_pointer = 0;
  }

  // A request that cannot be met makes operator new throw, and an exception cannot pass a replaced return address.
  if (cookie >> LT_COOKIE_FLAGS_SHIFT & LT_COOKIE_MAY_THROW && size > configuration.largest_safe_request) {
    count_one(LT_COUNTER_UNSAFE_CALLS);
    return false;
  }
  bool records = can_succeed && !is_filtered(size);
  if (can_succeed && !records)
    count_one(LT_COUNTER_FILTERED_BLOCKS);
  __u32 level = current_level();
  if (records && !should_sample(size, level)) {
    count_one(LT_COUNTER_UNSAMPLED_BLOCKS);
    records = false;
  }

  // The old block of a realloc goes out of the table now, before another thread can be given its address;
  // should the call fail, the return puts it back.
  struct lt_block_payload old_block = {};
  bool has_old_block = false, counted_unmatched = false;
  if (is_reallocation) {
    has_old_block = block_take(lt_block_key(pointer, slot, process->generation), &old_block);
    counted_unmatched = !has_old_block && !is_sampling();
    if (counted_unmatched)
      __sync_fetch_and_add(&process->unmatched_frees, 1);
  }

  if (!records && !has_old_block && !counted_unmatched && !may_nest)
    return false;
  if (!state)
    state = bpf_task_storage_get(&thread_states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!state) {
    count_one(LT_COUNTER_THREAD_STATE_REFUSED);
    return false;
  }
  state->stack_pointer = stack_pointer;
  state->size = size;
  state->pointer = pointer;
  state->old_block = old_block;
  state->kind = kind;
  state->may_throw = (cookie >> LT_COOKIE_FLAGS_SHIFT & LT_COOKIE_MAY_THROW) != 0;
  state->probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  state->records_block = records;
  state->level = level;
  state->has_old_block = has_old_block;
  state->counted_unmatched = counted_unmatched;
  state->recent_unmatched_frees = 0;
  state->return_address = 0;
  if (!(cookie >> LT_COOKIE_FLAGS_SHIFT & LT_COOKIE_RETURNS_BY_SITE))
    return true;
  if (bpf_probe_read_user(&state->return_address, sizeof(__u64), (void *)stack_pointer))
    state->stack_pointer = 0;
  return false;
}

// Ends the outermost call of the thread. True when a block is to be recorded.
static __noinline bool end_call(struct pt_regs *regs, __u64 cookie, bool is_at_return_instruction,
                                struct lt_left_call *call) {
  __u32 slot = cookie >> LT_COOKIE_SLOT_SHIFT;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  struct task_struct *task = bpf_get_current_task_btf();
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, task, 0, 0);
  if (!process || !state || !state->stack_pointer)
    return false;
  // The return instruction pops the address that the entry's stack pointer named.
  __u64 returned_to = lt_stack_pointer(regs) - (is_at_return_instruction ? 0 : LT_RETURN_ADDRESS_BYTES);
  if (returned_to != state->stack_pointer) {
    if (returned_to > state->stack_pointer) {
      count_one(LT_COUNTER_ABANDONED_CALLS);
      state->stack_pointer = 0;
    }
    return false;  // a nested call's return
  }
  state->stack_pointer = 0;

  __u32 kind = state->kind;
  __u64 address = lt_result(regs);
  if (kind == LT_ALLOCATE_TO_POINTER) {
    if ((__u32)address != 0)
      address = 0;
    else if (bpf_probe_read_user(&address, sizeof(address), (void *)state->pointer)) {
      count_one(LT_COUNTER_UNREADABLE_RESULT);
      return false;
    }
  }
  if (address >> LT_KEY_ADDRESS_BITS)
    address = 0;  // MAP_FAILED and other error values

  if (!settle_call(process, state, slot, address) || !state->records_block)
    return false;

  forget_missed(lt_block_key(address, slot, process->generation));
  // From the caller's point of view in both cases: pc is the address that the call returns to.
  call->start = (struct lt_walk_start){.pc = lt_program_counter(regs),
                                       .sp = lt_stack_pointer(regs),
                                       .fp = lt_frame_pointer(regs),
                                       .kind = LT_UNWIND_PC_RETURN};
  if (is_at_return_instruction) {
    call->start.pc = state->return_address;
    call->start.sp += LT_RETURN_ADDRESS_BYTES;
  }
  call->address = address;
  call->size = state->size;
  call->generation = process->generation;
  call->probe = state->probe;
  call->level = state->level;
  call->slot = slot;
  return true;
}

// Records the block at the outermost call's return.
static __always_inline void leave_allocation(struct pt_regs *regs, __u64 cookie, bool is_at_return_instruction) {
  struct lt_left_call call = {};
  if (!end_call(regs, cookie, is_at_return_instruction, &call))
    return;
  record_block(&call, walk_to_site(regs, &call.start, call.slot, call.generation, call.probe));
}

// Begins a call that frees a block. True when the place is to be noted. A function of its own, so that its variables are not on
// the program's stack while the user stack is walked.
static __noinline bool enter_free(struct pt_regs *regs, __u64 cookie, struct lt_freed_block *freed) {
  if (!freed)
    return false;
  __u64 address = argument(regs, cookie, 0);
  __u32 slot = cookie >> LT_COOKIE_SLOT_SHIFT;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  count_hit(cookie);
  if (!process || !address)
    return false;
  freed->address = address;
  freed->slot = slot;
  freed->probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff;
  freed->start = (struct lt_walk_start){.pc = lt_program_counter(regs),
                                        .sp = lt_stack_pointer(regs),
                                        .fp = lt_frame_pointer(regs),
                                        .kind = LT_UNWIND_PC_EXACT};
  return take_freed(process, freed) && configuration.watches_frees;
}

#define MINUS_ERRNO_MAX 4095
#define MREMAP_DONTUNMAP 4

// Tells user space of a changed mapping. A function of its own, so that the event is not on the program's stack while the
// user stack is walked.
static __noinline void emit_mapping(struct pt_regs *regs, __u64 cookie, __u32 site) {
  __u64 pid_tgid = bpf_get_current_pid_tgid();
  __u32 kind = cookie & 0xff;
  struct lt_event event = {.kind = LT_EVENT_MAP,
                           .process_id = pid_tgid >> 32,
                           .thread_id = (__u32)pid_tgid,
                           .process_slot = cookie >> LT_COOKIE_SLOT_SHIFT,
                           .time = bpf_ktime_get_ns(),
                           .address = lt_result(regs),
                           .size = lt_system_call_argument(regs, 1),
                           .site = site,
                           .probe = cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff};
  if (kind == LT_UNMAP) {
    event.kind = LT_EVENT_UNMAP;
    event.address = lt_system_call_argument(regs, 0);
  } else if (kind == LT_REMAP) {
    event.kind = LT_EVENT_REMAP;
    event.other_address = lt_system_call_argument(regs, 0);
    event.other_size = event.size;
    event.size = lt_system_call_argument(regs, 2);
    if (lt_system_call_argument(regs, 3) & MREMAP_DONTUNMAP)
      event.kind = LT_EVENT_MAP;  // the old range stays
  } else if (kind == LT_BREAK) {
    event.kind = LT_EVENT_BREAK;
  } else if (kind == LT_CREATE_THREAD) {
    event.kind = LT_EVENT_CREATE;
    event.address = lt_function_argument(regs, 2);
    event.size = 0;
  }
  emit_event(&event);
}

// Ranges that the program maps itself. What an allocator takes for its arenas is counted as the blocks it hands out.
static __always_inline void record_mapping(struct pt_regs *regs, __u64 cookie) {
  __u32 slot = cookie >> LT_COOKIE_SLOT_SHIFT, kind = cookie & 0xff, site = LT_NO_SITE;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  if (!process)
    return;
  count_hit(cookie);
  if (!lt_unwind_counts_changes())
    lt_unwind_recheck(slot);
  if (kind != LT_UNMAP) {
    if (kind != LT_CREATE_THREAD && lt_result(regs) >= -(__u64)MINUS_ERRNO_MAX)
      return;
    struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
    if (!(state && is_inside_call(state, process, lt_stack_pointer(regs)))) {
      struct lt_walk_start start = {.pc = lt_program_counter(regs),
                                    .sp = lt_stack_pointer(regs),
                                    .fp = lt_frame_pointer(regs),
                                    .kind = LT_UNWIND_PC_EXACT};
      site = walk_to_site(regs, &start, slot, process->generation, cookie >> LT_COOKIE_PROBE_SHIFT & 0xffff);
      if (site == LT_NESTED_SITE)
        site = LT_NO_SITE;
    }
  }
  emit_mapping(regs, cookie, site);
}

// One program for everything but free, on kernels with uprobe sessions: entry and return of allocator functions, their
// return instructions, and mappings. One, because the verifier's time for each adds to the time to attach. Returning 1
// skips the return.
SEC("uprobe")
int allocate_session(struct pt_regs *regs) {
  __u64 cookie = bpf_get_attach_cookie(regs);
  bool is_at_return_instruction = cookie >> LT_COOKIE_FLAGS_SHIFT & LT_COOKIE_AT_RETURN;
  if ((cookie & 0xff) >= LT_MAP) {
    record_mapping(regs, cookie);
    return 1;
  }
  if (is_at_return_instruction || (bpf_session_is_return && bpf_session_is_return())) {
    leave_allocation(regs, cookie, is_at_return_instruction);
    return is_at_return_instruction;
  }
  return !enter_allocation(regs, cookie);
}

// The same in parts, for perf events.
SEC("uprobe")
int allocate_enter(struct pt_regs *regs) {
  enter_allocation(regs, bpf_get_attach_cookie(regs));
  return 0;
}

SEC("uretprobe")
int allocate_exit(struct pt_regs *regs) {
  leave_allocation(regs, bpf_get_attach_cookie(regs), false);
  return 0;
}

SEC("uprobe")
int allocate_return_site(struct pt_regs *regs) {
  leave_allocation(regs, bpf_get_attach_cookie(regs), true);
  return 0;
}

SEC("uprobe")
int mapping_site(struct pt_regs *regs) {
  record_mapping(regs, bpf_get_attach_cookie(regs));
  return 0;
}

SEC("uprobe")
int free_enter(struct pt_regs *regs) {
  struct lt_freed_block freed = {};
  if (enter_free(regs, bpf_get_attach_cookie(regs), &freed))
    note_free(regs, &freed);
  return 0;
}

// At the places of gates. They are probed for all processes that have the gate's file mapped, which are the process and its
// children.
SEC("uprobe")
int gate_allocated(struct pt_regs *regs) {
  struct lt_left_call call = {};
  if (end_gate_call(regs, bpf_get_attach_cookie(regs), &call))
    record_block(&call, walk_to_site(regs, &call.start, call.slot, call.generation, call.probe));
  return 0;
}

SEC("uprobe")
int gate_entered(struct pt_regs *regs) {
  enter_gate_call(regs, bpf_get_attach_cookie(regs));
  return 0;
}

SEC("uprobe")
int gate_freed(struct pt_regs *regs) {
  struct lt_freed_block freed = {};
  if (enter_gate_free(regs, bpf_get_attach_cookie(regs), &freed))
    note_free(regs, &freed);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
