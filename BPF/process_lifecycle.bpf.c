// What happens to traced processes besides allocating: fork, exec, exit, and what their loaders map.
// Shares its maps with user_allocations.bpf.c.
#include "core.bpf.h"

#include "allocation_abi.h"
#include "counters.bpf.h"
#include "processes.bpf.h"
#include "thread_state.bpf.h"
#include "unwind.bpf.h"

const volatile struct lt_configuration configuration SEC(".rodata");

static __always_inline struct lt_process *process_of(__u32 process_id, __u32 *slot) {
  __u32 *found = bpf_map_lookup_elem(&process_slots, &process_id);
  if (!found)
    return NULL;
  *slot = *found;
  return bpf_map_lookup_elem(&processes, slot);
}

// Children of traced processes from their birth until user space has attached to them.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, __u64);
} pending_children SEC(".maps");

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
  __u64 now = bpf_ktime_get_ns();
  if (bpf_map_update_elem(&pending_children, &child_id, &now, BPF_ANY))
    count_one(LT_COUNTER_LATE_FORKS);
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

// ---- Holding ------------------------------------------------------------------------------------------------------
// Attaching takes user space milliseconds. So that nothing runs unseen meanwhile, a forked child waits where the C
// library's fork returns in it, and a process waits where its dynamic loader announces what it has mapped. The programs
// are sleepable, which here means that they can be preempted and delay no grace period. Should leaktrace be gone, the
// wait ends by itself.
#define HOLD_NANOSECONDS 1000000000ull
#define HOLD_ROUNDS (1 << 23)  // the most that bpf_loop takes; some 40 ns each

struct hold {
  __u32 process_id;
  __u32 slot;
  __u32 is_over;
  __u64 deadline;
  __u64 awaited_answer;
};

static long wait_for_attach(__u32 round, void *context) {
  struct hold *hold = context;
  (void)round;
  hold->is_over = !bpf_map_lookup_elem(&pending_children, &hold->process_id);
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

static __always_inline void hold_until_attached(__u32 process_id) {
  struct hold hold = {.process_id = process_id, .deadline = bpf_ktime_get_ns() + HOLD_NANOSECONDS};
  for (int i = 0; i < 4 && !hold.is_over && bpf_ktime_get_ns() < hold.deadline; i++)
    bpf_loop(HOLD_ROUNDS, wait_for_attach, &hold, 0);
  if (!hold.is_over) {
    bpf_map_delete_elem(&pending_children, &process_id);
    count_one(LT_COUNTER_LATE_FORKS);
  }
}

static long wait_for_answer(__u32 round, void *context) {
  struct hold *hold = context;
  __u32 slot = hold->slot;
  (void)round;
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  hold->is_over = !process || *(volatile __u64 *)&process->loader_answers >= hold->awaited_answer;
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

// After the system call of the C library's fork.
SEC("uprobe")
int hold_child(struct pt_regs *regs) {
  if (regs->ax != 0)
    return 0;  // the parent
  __u32 process_id = bpf_get_current_pid_tgid() >> 32;
  if (bpf_map_lookup_elem(&pending_children, &process_id))
    hold_until_attached(process_id);
  return 0;
}

// At the function that the dynamic loader calls for debuggers whenever its list of objects changes.
SEC("uprobe")
int hold_loader(struct pt_regs *regs) {
  (void)regs;
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, slot = 0;
  if (bpf_map_lookup_elem(&pending_children, &process_id))
    hold_until_attached(process_id);
  struct lt_process *process = process_of(process_id, &slot);
  if (!process || process->is_held)
    return 0;
  struct hold hold = {.slot = slot, .deadline = bpf_ktime_get_ns() + HOLD_NANOSECONDS};
  hold.awaited_answer = __sync_fetch_and_add(&process->loader_changes, 1) + 1;
  emit_process_event(LT_EVENT_LOADED, process_id, slot, hold.awaited_answer);
  for (int i = 0; i < 4 && !hold.is_over && bpf_ktime_get_ns() < hold.deadline; i++)
    bpf_loop(HOLD_ROUNDS, wait_for_answer, &hold, 0);
  if (!hold.is_over)
    count_one(LT_COUNTER_LATE_LOADS);
  return 0;
}

// The same without the wait, for kernels that cannot attach sleepable programs to many places.
SEC("uprobe")
int loader_changed(struct pt_regs *regs) {
  (void)regs;
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, slot = 0;
  struct lt_process *process = process_of(process_id, &slot);
  if (process && !process->is_held)
    emit_process_event(LT_EVENT_LOADED, process_id, slot, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
