// What happens to traced processes besides allocating: fork, exec, exit, and changes of their address space.
// Shares its maps with user_allocations.bpf.c.
#include "core.bpf.h"

#include "allocation_abi.h"
#include "counters.bpf.h"
#include "outstanding.bpf.h"
#include "processes.bpf.h"
#include "sampling.bpf.h"
#include "stacks.bpf.h"
#include "thread_state.bpf.h"

const volatile struct lt_configuration configuration SEC(".rodata");

#define SYSCALL_MMAP 9
#define SYSCALL_MUNMAP 11
#define SYSCALL_BRK 12
#define SYSCALL_MREMAP 25
#define PROTECTION_EXECUTE 4
#define MMAP_FIXED 0x10
#define MINUS_ERRNO_MAX 4095

static __always_inline struct lt_process *process_of(__u32 process_id, __u32 *slot) {
  __u32 *found = bpf_map_lookup_elem(&process_slots, &process_id);
  if (!found)
    return NULL;
  *slot = *found;
  return bpf_map_lookup_elem(&processes, slot);
}

static __always_inline void emit_process_event(__u32 kind, __u32 process_id, __u32 slot, __u64 address) {
  struct lt_event event = {.kind = kind, .process_id = process_id, .thread_id = (__u32)bpf_get_current_pid_tgid(),
                           .process_slot = slot, .time = bpf_ktime_get_ns(), .address = address, .site = NO_SITE};
  emit_event(&event);
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *parent = (void *)context->args[0], *child = (void *)context->args[1];
  __u32 parent_id = BPF_CORE_READ(parent, tgid), child_id = BPF_CORE_READ(child, tgid), slot = 0;
  if (!configuration.follow_forks || child_id == parent_id /* a thread */ || !process_of(parent_id, &slot))
    return 0;
  emit_process_event(LT_EVENT_FORK, parent_id, slot, child_id);
  return 0;
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *task = (void *)context->args[0];
  __u32 process_id = BPF_CORE_READ(task, tgid), slot = 0;
  struct lt_process *process = process_of(process_id, &slot);
  (void)context;
  if (!process)
    return 0;
  // Here, before the new image runs, so that none of its blocks can be taken for one of the old image.
  __sync_fetch_and_add(&process->generation, 1);
  process->uprobes_trampoline = 0;
  lt_unwind_forget(slot);
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (state)
    state->stack_pointer = 0;
  emit_process_event(LT_EVENT_EXEC, process_id, slot, process->generation);
  return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *task = (void *)context->args[0];
  __u32 process_id = BPF_CORE_READ(task, tgid), slot = 0;
  if (!process_of(process_id, &slot))
    return 0;
  struct task_struct___signal *with_signal = (void *)task;
  if (BPF_CORE_READ(with_signal, signal, live.counter) > 0)
    return 0;  // other threads go on
  emit_process_event(LT_EVENT_EXIT, process_id, slot, 0);
  return 0;
}

// What takes address space away is seen on entry: by the time the call returns, another thread can have been given the
// same range, and a stack walked in between must not use a rule of what was there.
SEC("raw_tp/sys_enter")
int on_syscall_enter(struct bpf_raw_tracepoint_args *context) {
  __u64 number = context->args[1];
  if (number != SYSCALL_MUNMAP && number != SYSCALL_MMAP && number != SYSCALL_MREMAP)
    return 0;
  __u64 pid_tgid = bpf_get_current_pid_tgid();
  __u32 slot = 0;
  struct lt_process *process = process_of(pid_tgid >> 32, &slot);
  if (!process)
    return 0;
  struct pt_regs *regs = (void *)context->args[0];
  __u64 address = BPF_CORE_READ(regs, di), size = BPF_CORE_READ(regs, si);
  if (number == SYSCALL_MMAP && !(BPF_CORE_READ(regs, r10) & MMAP_FIXED))
    return 0;
  lt_unwind_unmapped(slot, process->generation, address, size);
  if (number != SYSCALL_MUNMAP)
    return 0;
  struct lt_event event = {.kind = LT_EVENT_UNMAP, .process_id = pid_tgid >> 32, .thread_id = (__u32)pid_tgid,
                           .process_slot = slot, .time = bpf_ktime_get_ns(), .address = address, .size = size,
                           .site = NO_SITE};
  emit_event(&event);
  return 0;
}

SEC("raw_tp/sys_exit")
int on_syscall_exit(struct bpf_raw_tracepoint_args *context) {
  struct pt_regs *regs = (void *)context->args[0];
  __u64 result = context->args[1];
  __u64 number = BPF_CORE_READ(regs, orig_ax);
  if (number != SYSCALL_MMAP && number != SYSCALL_MUNMAP && number != SYSCALL_MREMAP && number != SYSCALL_BRK)
    return 0;
  __u64 pid_tgid = bpf_get_current_pid_tgid();
  __u32 slot = 0;
  struct lt_process *process = process_of(pid_tgid >> 32, &slot);
  if (!process)
    return 0;
  bool failed = result >= -(__u64)MINUS_ERRNO_MAX;
  if (failed != (number == SYSCALL_MUNMAP))
    return 0;  // munmap is of interest here only when it failed

  struct lt_event event = {.process_id = pid_tgid >> 32, .thread_id = (__u32)pid_tgid, .process_slot = slot,
                           .time = bpf_ktime_get_ns(), .address = result, .size = BPF_CORE_READ(regs, si),
                           .site = NO_SITE};
  if (number == SYSCALL_MUNMAP) {
    event.kind = LT_EVENT_UNMAP_FAILED;
    event.address = BPF_CORE_READ(regs, di);
    emit_event(&event);
    return 0;
  }
  if (number == SYSCALL_MMAP) {
    event.kind = LT_EVENT_MAP;
    event.flags = BPF_CORE_READ(regs, dx) << 32 | (__u32)BPF_CORE_READ(regs, r10);
  } else if (number == SYSCALL_MREMAP) {
    event.kind = LT_EVENT_REMAP;
    event.other_address = BPF_CORE_READ(regs, di);
    event.other_size = event.size;
    event.size = BPF_CORE_READ(regs, dx);
  } else {
    event.kind = LT_EVENT_BREAK;
  }
  if (!configuration.trace_mappings) {
    if (number == SYSCALL_MMAP && event.flags >> 32 & PROTECTION_EXECUTE)
      emit_event(&event);
    return 0;
  }
  // Memory that an allocator takes for its arenas is counted as the blocks it hands out, not twice.
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (!(state && is_inside_call(state, process, BPF_CORE_READ(regs, sp))))
  {
    struct lt_walk_start start = {.pc = BPF_CORE_READ(regs, ip), .sp = BPF_CORE_READ(regs, sp),
                                  .bp = BPF_CORE_READ(regs, bp), .kind = LT_UNWIND_PC_EXACT};
    event.site = walk_to_site(context, &start, slot, process->generation, LT_MAX_PROBES);
  }
  emit_event(&event);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
