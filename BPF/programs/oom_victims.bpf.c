// Tells at once whom the OOM killer marks.
#include "common/core.bpf.h"

#include "victim_abi.h"

struct task_struct___comm {
  char comm[LT_COMMAND_BYTES];
} __attribute__((preserve_access_index));

// Kills are rare: there is room for some four hundred that user space has not read yet.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16384);
} victims SEC(".maps");

// Counts victims for whom there was no room.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} lost_victims SEC(".maps");

SEC("raw_tp/mark_victim")
int on_mark_victim(struct bpf_raw_tracepoint_args *context) {
  struct lt_victim *victim = bpf_ringbuf_reserve(&victims, sizeof(*victim), 0);
  if (!victim) {
    __u32 zero = 0;
    __u64 *lost = bpf_map_lookup_elem(&lost_victims, &zero);
    if (lost)
      __sync_fetch_and_add(lost, 1);
    return 0;
  }
  *victim = (struct lt_victim){.time = bpf_ktime_get_ns()};
  // Linux 6.8 gives the task, older ones its id, which is in the lower half of the word and may be a thread's.
  __u64 subject = context->args[0];
  if (subject >> 32) {
    struct task_struct *task = (void *)subject;
    struct task_struct___comm *named = (void *)BPF_CORE_READ(task, group_leader);
    victim->process_id = BPF_CORE_READ(task, tgid);
    BPF_CORE_READ_STR_INTO(&victim->command, named, comm);
  } else {
    victim->process_id = subject;
  }
  bpf_ringbuf_submit(victim, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
