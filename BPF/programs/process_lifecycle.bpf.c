// What happens to traced processes besides allocating: fork, exec, exit, and what their loaders map.
// Shares its maps with user_allocations.bpf.c.
#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "user/processes.bpf.h"
#include "user/thread_state.bpf.h"
#include "unwind/unwind.bpf.h"

LT_LOAD_TIME struct lt_configuration configuration SEC(".rodata");

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

static __noinline void emit_process_event(__u32 kind, __u32 process_id, __u32 slot, __u64 address) {
  struct lt_event event = {.kind = kind,
                           .process_id = process_id,
                           .thread_id = (__u32)bpf_get_current_pid_tgid(),
                           .process_slot = slot,
                           .time = bpf_ktime_get_ns(),
                           .address = address,
                           .site = LT_NO_SITE};
  emit_event(&event);
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *parent = (void *)context->args[0], *child = (void *)context->args[1];
  __u32 parent_id = BPF_CORE_READ(parent, tgid), child_id = BPF_CORE_READ(child, tgid), slot = 0;
  if (!configuration.follow_forks || child_id == parent_id /* a thread */ || !process_of(parent_id, &slot))
    return 0;
  __u64 now = bpf_ktime_get_ns();
  struct lt_event event = {.kind = LT_EVENT_FORK,
                           .process_id = parent_id,
                           .process_slot = slot,
                           .time = now,
                           .address = child_id,
                           .site = LT_NO_SITE};
  struct lt_globals *shared = global_words();
  if (!shared || bpf_map_update_elem(&pending_children, &child_id, &now, BPF_ANY)) {
    count_one(LT_COUNTER_LATE_FORKS);
    return 0;
  }
  // Taken back by user space when it has attached, or by nobody: then there is no user space left to wait for.
  __sync_fetch_and_add(&shared->waiting_children, 1);
  if (!emit_event(&event)) {
    bpf_map_delete_elem(&pending_children, &child_id);
    __sync_fetch_and_add(&shared->waiting_children, -1);
  }
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
  struct lt_process *process = process_of(process_id, &slot);
  if (!process)
    return 0;
  // The last that a thread does with glibc's heap is to free what it kept in its cache of free blocks, and the cache.
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (state && state->recent_unmatched_frees) {
    __sync_fetch_and_add(&process->unmatched_frees_at_thread_end, state->recent_unmatched_frees);
    state->recent_unmatched_frees = 0;
  }
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
#define HOLD_NANOSECONDS 3000000000ull
#define HOLD_ROUNDS (1 << 23)  // the most that bpf_loop takes; some 50 ns each
#define HOLD_ROUNDS_PER_YIELD 4096
// A held program is left in the middle, and another task may run it on the same CPU. Since Linux 6.13 the kernel gives
// programs that use 64 bytes of stack or more a stack of the CPU's instead of the task's, which would then be shared:
// the functions below stay under that.

struct hold {
  __u32 subject;  // what is waited for: a process id or a slot
  __u32 is_over;
  __u64 deadline;
  __u64 awaited_answer;
};

// Lets others run. A program cannot sleep as such, and on kernels without preemption a waiting one would keep its CPU
// from leaktrace; but reading the memory of a task by way of its page tables reschedules. Not in every round, because it
// takes the lock that attaching needs.
static __always_inline void yield_cpu(__u32 round) {
  if (round % HOLD_ROUNDS_PER_YIELD != HOLD_ROUNDS_PER_YIELD - 1)
    return;
  struct task_struct *task = bpf_get_current_task_btf();
  __u32 word;
  bpf_copy_from_user_task(&word, sizeof(word), (const void *)BPF_CORE_READ(task, mm, start_stack), task, 0);
}

static long wait_for_attach(__u32 round, void *context) {
  struct hold *hold = context;
  yield_cpu(round);
  hold->is_over = !bpf_map_lookup_elem(&pending_children, &hold->subject);
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

static long wait_for_turn(__u32 round, void *context) {
  struct hold *hold = context;
  yield_cpu(round);
  struct lt_globals *shared = global_words();
  hold->is_over = !shared || *(volatile __u64 *)&shared->waiting_children == 0;
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

static long wait_for_answer(__u32 round, void *context) {
  struct hold *hold = context;
  yield_cpu(round);
  struct lt_process *process = bpf_map_lookup_elem(&processes, &hold->subject);
  hold->is_over = !process || *(volatile __u64 *)&process->loader_answers >= hold->awaited_answer;
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

static __always_inline __u64 begin_hold(struct hold *hold) {
  struct lt_globals *shared = global_words();
  __u64 now = bpf_ktime_get_ns();
  hold->deadline = shared && shared->hold_budget > 0 ? now + HOLD_NANOSECONDS : 0;
  return now;
}

static __always_inline void end_hold(__u64 begin) {
  struct lt_globals *shared = global_words();
  if (shared)
    __sync_fetch_and_add(&shared->hold_budget, begin - bpf_ktime_get_ns());
}

// Waits, by one of the functions above, until it is over, too long, or more than all processes together may be held.
#define HOLD(hold, wait)                                                                  \
  __u64 begin = begin_hold(&(hold));                                                      \
  for (int i = 0; i < 10 && !(hold).is_over && bpf_ktime_get_ns() < (hold).deadline; i++) \
    bpf_loop(HOLD_ROUNDS, wait, &(hold), 0);                                              \
  end_hold(begin);

static __noinline void hold_until_attached(__u32 process_id) {
  struct hold hold = {.subject = process_id};
  HOLD(hold, wait_for_attach)
  if (hold.is_over)
    return;
  bpf_map_delete_elem(&pending_children, &hold.subject);
  count_one(LT_COUNTER_LATE_FORKS);
}

static __noinline void hold_until_turn(void) {
  struct hold hold = {};
  HOLD(hold, wait_for_turn)
}

static __noinline void hold_until_answered(__u32 slot, __u64 change) {
  struct hold hold = {.subject = slot, .awaited_answer = change};
  HOLD(hold, wait_for_answer)
  if (hold.is_over)
    return;
  count_one(LT_COUNTER_LATE_LOADS);
}

// After the system call of the C library's fork. The child waits for its probes. A traced parent waits while more than
// one child does: waiting costs a CPU each, and many at once would keep leaktrace from attaching.
SEC("uprobe")
int hold_child(struct pt_regs *regs) {
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, slot = 0;
  if (lt_result(regs) == 0) {
    if (bpf_map_lookup_elem(&pending_children, &process_id))
      hold_until_attached(process_id);
    return 0;
  }
  struct lt_globals *shared = global_words();
  if (shared && shared->waiting_children > 0 && process_of(process_id, &slot))
    hold_until_turn();
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
  lt_unwind_recheck(slot);
  __u64 change = __sync_fetch_and_add(&process->loader_changes, 1) + 1;
  emit_process_event(LT_EVENT_LOADED, process_id, slot, change);
  hold_until_answered(slot, change);
  return 0;
}

// The same without the wait, for kernels that cannot attach sleepable programs to many places.
SEC("uprobe")
int loader_changed(struct pt_regs *regs) {
  (void)regs;
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, slot = 0;
  struct lt_process *process = process_of(process_id, &slot);
  if (!process || process->is_held)
    return 0;
  lt_unwind_recheck(slot);
  emit_process_event(LT_EVENT_LOADED, process_id, slot, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
