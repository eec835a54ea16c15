// What happens to traced processes besides allocating: fork, exec, exit, and what their loaders map.
// Shares its maps with user_allocations.bpf.c.
#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "unwind/returns.bpf.h"
#include "user/processes.bpf.h"
#include "user/thread_state.bpf.h"
#include "unwind/unwind.bpf.h"

LT_LOAD_TIME struct lt_configuration configuration SEC(".rodata");

// The kernel's struct for work that a task does before it goes on in user space (Linux 6.18). The name tells the kernel what
// the field is.
struct bpf_task_work {
  __u64 __opaque;
} __attribute__((aligned(8)));

// Processes that user space has yet to attach to: children of traced processes from their birth, and traced processes that
// have begun to run another program.
struct pending_process {
  struct bpf_task_work work;
  __u64 since;  // CLOCK_MONOTONIC nanoseconds
  __u32 parent_slot;
  __u32 has_executed;  // has begun to run another program
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8 * LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, struct pending_process);
} pending_processes SEC(".maps");

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

// ---- Holding ------------------------------------------------------------------------------------------------------
// Attaching takes user space milliseconds. So that nothing runs unseen meanwhile, a forked child waits before its first
// instruction, a process that has executed a program before the program's first instruction, and a process whose dynamic
// loader announces what it has mapped waits there. Only traced processes and their children ever wait, and a parent never
// waits for its child. The programs are sleepable, which here means that they can be preempted and delay no grace period.
// A wait is over at once when leaktrace ends in any way.
#define FORK_HOLD_NANOSECONDS 20000000ull  // for user space to begin with it; once it has:
#define EXEC_HOLD_NANOSECONDS 100000000ull
#define TARGET_HOLD_NANOSECONDS 1000000000ull  // of a target: user space may be busy with its children
#define ATTACH_HOLD_NANOSECONDS 180000000ull   // in addition
#define LOADER_HOLD_NANOSECONDS 1000000000ull
#define MAXIMUM_HELD 16        // a waiting process takes a CPU from time to time
#define HOLD_ROUNDS (1 << 23)  // the most that bpf_loop takes; some 50 ns each
#define HOLD_ROUNDS_PER_YIELD 128
#define PF_EXITING 0x4
#define SIGNAL_GROUP_EXIT 0x4
// A held program is left in the middle, and another task may run it on the same CPU. Since Linux 6.13 the kernel gives
// programs that use 64 bytes of stack or more a stack of the CPU's instead of the task's, which would then be shared:
// the functions below stay under that.

struct hold {
  __u32 subject;  // what is waited for: a process id or a slot
  __u16 is_over;
  __u16 is_target;
  __u64 deadline;
  __u64 awaited_answer;
};

static __always_inline bool is_tracer_gone(void) {
  struct lt_globals *shared = global_words();
  return !shared || *(volatile __u64 *)&shared->tracer_is_gone;
}

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
  hold->is_over = is_tracer_gone() || !bpf_map_lookup_elem(&pending_processes, &hold->subject);
  if (hold->is_over)
    return 1;
  struct lt_globals *shared = global_words();
  bool is_its_turn = shared && *(volatile __u64 *)&shared->attaching_process == hold->subject;
  return bpf_ktime_get_ns() > hold->deadline + (is_its_turn ? ATTACH_HOLD_NANOSECONDS : 0);
}

static long wait_for_answer(__u32 round, void *context) {
  struct hold *hold = context;
  yield_cpu(round);
  struct lt_process *process = bpf_map_lookup_elem(&processes, &hold->subject);
  hold->is_over = !process || is_tracer_gone() || *(volatile __u64 *)&process->loader_answers >= hold->awaited_answer;
  return hold->is_over || bpf_ktime_get_ns() > hold->deadline;
}

static __always_inline bool may_hold(bool is_target) {
  struct lt_globals *shared = global_words();
  return shared && !shared->tracer_is_gone && (is_target ? shared->hold_budgets[1] : shared->hold_budgets[0]) > 0 &&
         shared->held_processes < MAXIMUM_HELD;
}

static __always_inline __u64 begin_hold(struct hold *hold, __u64 longest) {
  struct lt_globals *shared = global_words();
  __u64 now = bpf_ktime_get_ns();
  hold->deadline = may_hold(hold->is_target) ? now + longest : 0;
  if (shared)
    __sync_fetch_and_add(&shared->held_processes, 1);
  return now;
}

static __always_inline void end_hold(const struct hold *hold, __u64 begin) {
  struct lt_globals *shared = global_words();
  if (!shared)
    return;
  __sync_fetch_and_add(&shared->held_processes, -1);
  __s64 *budget = hold->is_target ? &shared->hold_budgets[1] : &shared->hold_budgets[0];
  __sync_fetch_and_add(budget, begin - bpf_ktime_get_ns());
}

// Waits, by one of the functions above, until it is over, too long, or more than all targets, or all children, together may be
// held.
#define HOLD(hold, longest, wait)                                                         \
  __u64 begin = begin_hold(&(hold), longest);                                             \
  for (int i = 0; i < 10 && !(hold).is_over && bpf_ktime_get_ns() < (hold).deadline; i++) \
    bpf_loop(HOLD_ROUNDS, wait, &(hold), 0);                                              \
  end_hold(&(hold), begin);

static __noinline void hold_until_attached(__u32 process_id, bool has_executed) {
  __u32 slot = 0;
  struct lt_process *process = process_of(process_id, &slot);
  struct hold hold = {.subject = process_id, .is_target = process && process->is_target};
  __u64 longest = has_executed ? EXEC_HOLD_NANOSECONDS : FORK_HOLD_NANOSECONDS;
  if (hold.is_target)
    longest = TARGET_HOLD_NANOSECONDS;
  HOLD(hold, longest, wait_for_attach)
  if (!hold.is_over)
    count_one(has_executed ? LT_COUNTER_LATE_LOADS : LT_COUNTER_LATE_FORKS);
}

static __noinline void hold_until_answered(__u32 slot, __u64 change) {
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  struct hold hold = {.subject = slot, .is_target = process && process->is_target, .awaited_answer = change};
  HOLD(hold, LOADER_HOLD_NANOSECONDS, wait_for_answer)
  if (hold.is_over)
    return;
  count_one(LT_COUNTER_LATE_LOADS);
}

// Run by a process itself before it goes on in user space.
static int hold_process([[maybe_unused]] struct bpf_map *map, [[maybe_unused]] void *key, void *value) {
  __u32 process_id = bpf_get_current_pid_tgid() >> 32;
  bool has_executed = ((struct pending_process *)value)->has_executed;
  // Work that is left when a task ends is done then; nobody needs to wait for it.
  if (!(BPF_CORE_READ(bpf_get_current_task_btf(), flags) & PF_EXITING))
    hold_until_attached(process_id, has_executed);
  return 0;
}

extern int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *work, void *map,
                                              int (*callback)(struct bpf_map *, void *, void *),
                                              void *program) __ksym __weak;

// Makes a process wait before it goes on in user space. `task` is one that the kernel's type information vouches for. Returns
// whether it will.
static __always_inline bool schedule_hold(struct task_struct *task, __u32 process_id, bool is_target) {
  if (!may_hold(is_target))
    return false;
  struct pending_process *pending = bpf_map_lookup_elem(&pending_processes, &process_id);
  return pending && !bpf_task_work_schedule_resume_impl(task, &pending->work, &pending_processes, hold_process, NULL);
}

// ---- fork, exec, exit -----------------------------------------------------------------------------------------------

struct pending_event {
  __u32 process_id;
  __u32 parent_slot;
  __u64 since;
  __u64 flags;  // enum lt_fork_flag
};

// Tells user space of a process that it has to attach to. Whom it cannot be told of is nobody's to wait for.
static __noinline void emit_pending(const struct pending_event *pending) {
  struct lt_event event = {.kind = LT_EVENT_FORK,
                           .process_slot = pending->parent_slot,
                           .time = pending->since,
                           .address = pending->process_id,
                           .size = pending->flags,
                           .site = LT_NO_SITE};
  if (emit_event(&event))
    return;
  __u32 process_id = pending->process_id;
  bpf_map_delete_elem(&pending_processes, &process_id);
  if (pending->flags & LT_FORK_IS_HELD)
    count_one(LT_COUNTER_LATE_FORKS);
}

static __always_inline int forked(struct task_struct *parent, struct task_struct *child, bool can_hold) {
  __u32 parent_id = BPF_CORE_READ(parent, tgid), child_id = BPF_CORE_READ(child, tgid), slot = 0;
  if (!configuration.follow_forks)
    return 0;
  if (child_id == parent_id) {
    // A thread. What created it has said so just before, see LT_EVENT_CREATE.
    if (process_of(parent_id, &slot))
      emit_process_event(LT_EVENT_BORN, parent_id, slot, lt_thread_pointer(child));
    return 0;
  }
  if (!process_of(parent_id, &slot)) {
    // A child of a child that has not been attached to yet.
    struct pending_process *of_parent = bpf_map_lookup_elem(&pending_processes, &parent_id);
    if (!of_parent)
      return 0;
    slot = of_parent->parent_slot;
  }
  struct pending_process entry = {.since = bpf_ktime_get_ns(), .parent_slot = slot};
  struct pending_event pending = {.process_id = child_id, .parent_slot = slot, .since = entry.since};
  // After vfork and in posix_spawn the child runs in its parent's memory, and the parent may wait for it: it is held when it
  // executes a program, and not before.
  if (BPF_CORE_READ(child, mm) == BPF_CORE_READ(parent, mm))
    pending.flags = LT_FORK_SHARES_MEMORY;
  if (bpf_map_update_elem(&pending_processes, &child_id, &entry, BPF_ANY)) {
    count_one(LT_COUNTER_LATE_FORKS);
    return 0;
  }
  if (!pending.flags) {
    if (can_hold && schedule_hold(child, child_id, false))
      pending.flags = LT_FORK_IS_HELD;
    else
      count_one(LT_COUNTER_LATE_FORKS);
  }
  emit_pending(&pending);
  return 0;
}

static __always_inline int executed(struct task_struct *task, bool can_hold) {
  __u32 process_id = BPF_CORE_READ(task, tgid), slot = 0;
  struct lt_process *process = process_of(process_id, &slot);
  struct pending_process entry = {.since = bpf_ktime_get_ns(), .parent_slot = slot, .has_executed = 1};
  if (!process) {
    // A child that has not been attached to runs another program: that one is traced from its beginning.
    struct pending_process *child = bpf_map_lookup_elem(&pending_processes, &process_id);
    if (!child)
      return 0;
    entry.parent_slot = child->parent_slot;
    struct pending_event pending = {.process_id = process_id,
                                    .parent_slot = entry.parent_slot,
                                    .since = entry.since,
                                    .flags = LT_FORK_HAS_EXECUTED};
    if (bpf_map_update_elem(&pending_processes, &process_id, &entry, BPF_ANY)) {
      count_one(LT_COUNTER_LATE_FORKS);
      return 0;
    }
    if (can_hold && schedule_hold(task, process_id, false))
      pending.flags |= LT_FORK_IS_HELD;
    else
      count_one(LT_COUNTER_LATE_FORKS);
    emit_pending(&pending);
    return 0;
  }
  // Here, before the new image runs, so that none of its blocks can be taken for one of the old image.
  __sync_fetch_and_add(&process->generation, 1);
  process->uprobes_trampoline = 0;
  lt_unwind_forget(slot);
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (state)
    state->stack_pointer = 0;
  bool is_held = can_hold && !process->is_held &&
                 !bpf_map_update_elem(&pending_processes, &process_id, &entry, BPF_ANY) &&
                 schedule_hold(task, process_id, process->is_target);
  if (!is_held)
    bpf_map_delete_elem(&pending_processes, &process_id);
  emit_process_event(LT_EVENT_EXEC, process_id, slot, process->generation);
  return 0;
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *context) {
  return forked((void *)context->args[0], (void *)context->args[1], false);
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *context) { return executed((void *)context->args[0], false); }

// The same with holding, where the kernel has what it takes.
SEC("tp_btf/sched_process_fork")
int on_fork_holding(__u64 *context) {
  return forked((struct task_struct *)context[0], (struct task_struct *)context[1], true);
}

SEC("tp_btf/sched_process_exec")
int on_exec_holding(__u64 *context) { return executed((struct task_struct *)context[0], true); }

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *task = (void *)context->args[0];
  __u32 process_id = BPF_CORE_READ(task, tgid), slot = 0;
  struct task_struct___signal *with_signal = (void *)task;
  struct lt_globals *shared = global_words();
  // Whoever is held goes on at once when leaktrace is killed or ends, however long that takes.
  if (shared && process_id == configuration.tracer_process &&
      BPF_CORE_READ(with_signal, signal, flags) & SIGNAL_GROUP_EXIT)
    shared->tracer_is_gone = 1;
  struct lt_process *process = process_of(process_id, &slot);
  if (!process) {
    if (BPF_CORE_READ(with_signal, signal, live.counter) == 0)
      bpf_map_delete_elem(&pending_processes, &process_id);
    return 0;
  }
  // The last that a thread does with glibc's heap is to free what it kept in its cache of free blocks, and the cache.
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (state && state->recent_unmatched_frees) {
    __sync_fetch_and_add(&process->unmatched_frees_at_thread_end, state->recent_unmatched_frees);
    state->recent_unmatched_frees = 0;
  }
  if (BPF_CORE_READ(with_signal, signal, live.counter) > 0)
    return 0;  // other threads go on
  emit_process_event(LT_EVENT_EXIT, process_id, slot, 0);
  return 0;
}

// At the function that the dynamic loader calls for debuggers whenever its list of objects changes.
SEC("uprobe")
int hold_loader(struct pt_regs *regs) {
  (void)regs;
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, slot = 0;
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

// ---- Exceptions ---------------------------------------------------------------------------------------------------

static __noinline void emit_raised(__u32 slot, __u64 place, __u64 original, __u64 change) {
  struct lt_event event = {.kind = LT_EVENT_RAISED,
                           .process_id = bpf_get_current_pid_tgid() >> 32,
                           .thread_id = (__u32)bpf_get_current_pid_tgid(),
                           .process_slot = slot,
                           .time = bpf_ktime_get_ns(),
                           .address = place,
                           .size = change,
                           .other_address = original,
                           .site = LT_NO_SITE};
  emit_event(&event);
}

// Ends the call of an allocator function that an exception leaves, and asks for its return address to be put back. Returns the
// number of the answer to wait for; 0 if there is nothing to put back.
static __noinline __u64 leave_by_exception(__u32 slot, __u64 sp) {
  struct lt_process *process = bpf_map_lookup_elem(&processes, &slot);
  struct lt_thread_state *state = bpf_task_storage_get(&thread_states, bpf_get_current_task_btf(), 0, 0);
  if (!process || process->is_held || !state || !state->may_throw || state->return_address ||
      !is_inside_call(state, process, sp))
    return 0;
  __u64 place = state->stack_pointer, original = lt_unwind_original_return(place);
  if (!original)
    return 0;
  state->stack_pointer = 0;
  __sync_fetch_and_add(&process->failed_allocations, 1);
  __u64 change = __sync_fetch_and_add(&process->loader_changes, 1) + 1;
  emit_raised(slot, place, original, change);
  return change;
}

// Not within the budget of the others: it is rare, and the process would end.
static __noinline void hold_exception(__u32 slot, __u64 change) {
  struct hold hold = {.subject = slot, .awaited_answer = change};
  hold.deadline = bpf_ktime_get_ns() + LOADER_HOLD_NANOSECONDS;
  for (int i = 0; i < 10 && !hold.is_over && bpf_ktime_get_ns() < hold.deadline; i++)
    bpf_loop(HOLD_ROUNDS, wait_for_answer, &hold, 0);
}

// Where the unwinder begins to look for an exception's handler: see exceptions.bpf.c. User space puts the return address back,
// where the kernel does not let programs do it.
SEC("uprobe")
int exception_held(struct pt_regs *regs) {
  __u32 slot = bpf_get_attach_cookie(regs) >> LT_COOKIE_SLOT_SHIFT;
  __u64 change = leave_by_exception(slot, lt_stack_pointer(regs));
  if (change)
    hold_exception(slot, change);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
