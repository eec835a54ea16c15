// Tells user space what the executable areas of a process are, with the identities that the walker compares.
#include "common/core.bpf.h"

#include "allocation_abi.h"
#include "unwind/identity.bpf.h"

struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__task_vma {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
  struct vm_area_struct *vma;
} __attribute__((preserve_access_index));

SEC("iter/task_vma")
int executable_areas(struct bpf_iter__task_vma *context) {
  struct vm_area_struct *area = context->vma;
  if (!context->task || !area || !(area->vm_flags & LT_VM_EXEC))
    return 0;
  struct lt_unwind_area record = {.start = area->vm_start, .end = area->vm_end, .identity = lt_unwind_identity(area)};
  bpf_seq_write(context->meta->seq, &record, sizeof(record));
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
