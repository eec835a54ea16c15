// Measures and checks the stack walker: walks on uprobes, beside the kernel's own frame-pointer walk.
// Used by the tests and by the benchmark only.
#include "unwind/unwind.bpf.h"
#include "unwind_probe_abi.h"

// Traced processes: thread group to slot, generation 1.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LT_MAX_PROCESS_SLOTS);
  __type(key, __u32);
  __type(value, __u32);
} probe_slots SEC(".maps");

// The slot that the next forked child gets.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} probe_next_slot SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK_TRACE);
  __uint(max_entries, 16384);
  __uint(key_size, 4);
  __uint(value_size, LT_MAX_STACK_DEPTH * 8);
} probe_kernel_stacks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_probe_totals);
} probe_totals SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 24);
} probe_samples SEC(".maps");

// Longer ones were interrupted.
#define LT_PROBE_LONGEST_READING 1000

LT_LOAD_TIME struct lt_probe_configuration configuration SEC(".rodata");

static __always_inline void probe_add(__u32 *histogram, __u64 value) {
  __u64 bucket = value / LT_PROBE_BUCKET_NANOSECONDS;

  histogram[bucket < LT_PROBE_BUCKETS ? bucket : LT_PROBE_BUCKETS - 1]++;
}

static __always_inline void probe_stop(struct lt_probe_totals *totals) {
  totals->stops++;
  bpf_send_signal(19 /* SIGSTOP */);
}

static __always_inline void probe_sample(struct lt_unwind_scratch *scratch, __u64 pc, __u64 sp, __u64 fp, __u32 pc_kind,
                                         struct pt_regs *context) {
  struct lt_probe_sample *sample = bpf_ringbuf_reserve(&probe_samples, sizeof(*sample), 0);

  if (!sample)
    return;
  sample->process_id = bpf_get_current_pid_tgid() >> 32;
  sample->pc_kind = pc_kind;
  sample->depth = scratch->stack.depth;
  sample->outcome = scratch->stack.outcome;
  sample->process_slot = scratch->process_slot;
  sample->address_space = scratch->address_space >> LT_UNWIND_ADDRESS_BITS;
  sample->pc = pc;
  sample->sp = sp;
  sample->fp = fp;
  lt_kept_registers(context, sample->kept);
  bpf_probe_read_kernel(sample->frames, sizeof(sample->frames), scratch->stack.frames);
  sample->stack_pages = 0;
  // Page by page: the copy ends where the stack does, and a large frame can have pages that were never touched.
  __u64 start = sp & ~4095ULL;
  for (int i = 0; i < LT_PROBE_STACK_PAGES; i++) {
    if (!bpf_probe_read_user(sample->stack + i * 4096, 4096, (void *)(start + i * 4096)))
      sample->stack_pages = i + 1;
  }
  bpf_ringbuf_submit(sample, 0);
}

static __always_inline int probe_event(struct pt_regs *context, __u32 pc_kind) {
  __u32 process_id = bpf_get_current_pid_tgid() >> 32, zero = 0;
  __u32 *slot = bpf_map_lookup_elem(&probe_slots, &process_id);
  struct lt_probe_totals *totals = bpf_map_lookup_elem(&probe_totals, &zero);
  if (!slot || !totals)
    return 0;

  totals->events++;
  __u64 clock = bpf_ktime_get_ns();
  clock = bpf_ktime_get_ns() - clock;
  if (clock < LT_PROBE_LONGEST_READING) {
    totals->clock_nanoseconds += clock;
    totals->clock_readings++;
  }
  if (configuration.walks) {
    __u64 pc = lt_program_counter(context), sp = lt_stack_pointer(context), fp = lt_frame_pointer(context);
    __u64 start = bpf_ktime_get_ns();
    struct lt_unwind_scratch *scratch = lt_unwind_claim();
    if (!scratch)
      return 0;
    __u32 depth = lt_unwind(scratch, *slot, 1, pc, sp, fp, pc_kind), outcome = scratch->stack.outcome;
    __u64 elapsed = bpf_ktime_get_ns() - start;

    bool is_sample = configuration.sample_period && bpf_get_prandom_u32() % configuration.sample_period == 0;
    if (is_sample)
      probe_sample(scratch, pc, sp, fp, pc_kind, context);
    lt_unwind_release(scratch);
    totals->frames += depth;
    totals->nanoseconds += elapsed;
    totals->statuses[LT_UNWIND_STATUS(outcome) & 3]++;
    if (outcome & LT_UNWIND_FLAG_FRAME_POINTERS)
      totals->with_frame_pointers++;
    probe_add(totals->histogram, elapsed);
    if (LT_UNWIND_STATUS(outcome) == LT_OUTCOME_COMPLETE)
      totals->depths[depth & LT_MAX_STACK_DEPTH]++;
    bool lacks_tables =
        LT_UNWIND_REASON(outcome) == LT_UNWIND_NO_TABLES || LT_UNWIND_REASON(outcome) == LT_UNWIND_UNKNOWN_MAPPING;
    if ((lacks_tables && (configuration.stops & LT_PROBE_STOP_FOR_TABLES)) ||
        (is_sample && (configuration.stops & LT_PROBE_STOP_FOR_SAMPLES)))
      probe_stop(totals);
  }
  if (configuration.kernel_walks) {
    __u64 start = bpf_ktime_get_ns();
    bpf_get_stackid(context, &probe_kernel_stacks, BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP);
    __u64 elapsed = bpf_ktime_get_ns() - start;
    totals->kernel_nanoseconds += elapsed;
    probe_add(totals->kernel_histogram, elapsed);
  }
  return 0;
}

SEC("uprobe")
int probe_enter(struct pt_regs *context) { return probe_event(context, LT_UNWIND_PC_EXACT); }

SEC("uretprobe")
int probe_exit(struct pt_regs *context) { return probe_event(context, LT_UNWIND_PC_RETURN); }

// Children are traced from their first instruction on, in slots that are counted up.
SEC("raw_tp/sched_process_fork")
int probe_fork(struct bpf_raw_tracepoint_args *context) {
  struct task_struct *parent = (void *)context->args[0], *child = (void *)context->args[1];
  __u32 parent_id = BPF_CORE_READ(parent, tgid), child_id = BPF_CORE_READ(child, tgid), zero = 0;
  __u32 *parent_slot = bpf_map_lookup_elem(&probe_slots, &parent_id);
  __u32 *next_slot = bpf_map_lookup_elem(&probe_next_slot, &zero);
  if (!parent_slot || !next_slot || parent_id == child_id)
    return 0;
  __u32 slot = __sync_fetch_and_add(next_slot, 1);
  if (slot >= LT_MAX_PROCESS_SLOTS)
    return 0;
  lt_unwind_inherit(*parent_slot, 1, slot, 1);
  bpf_map_update_elem(&probe_slots, &child_id, &slot, BPF_ANY);
  return 0;
}

SEC("raw_tp/sched_process_exec")
int probe_exec([[maybe_unused]] struct bpf_raw_tracepoint_args *context) {
  __u32 process_id = bpf_get_current_pid_tgid() >> 32;
  __u32 *slot = bpf_map_lookup_elem(&probe_slots, &process_id);
  if (slot)
    lt_unwind_forget(*slot);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
