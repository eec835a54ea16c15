// Copies stacks that break off for lack of tables to user space, which completes them as soon as it has the tables.
#pragma once

#include "common/core.bpf.h"
#include "unwind/frames.bpf.h"
#include "unwind/identity.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind/steps.bpf.h"
#include "unwind/validation.bpf.h"
#include "unwind_abi.h"

#define LT_UNWIND_SAMPLE_PIECES (LT_UNWIND_SAMPLE_STACK_BYTES / LT_UNWIND_PAGE_BYTES)

struct lt_unwind_record {
  struct lt_unwind_sample sample;
  __u8 stack[LT_UNWIND_SAMPLE_STACK_BYTES];
};

// Holds struct lt_unwind_record. When it is full, stacks stay as they are.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} lt_unwind_samples SEC(".maps");

// Memory for a sample, if the walk in `scratch` ended where user space could go on; NULL otherwise.
static __always_inline struct lt_unwind_record *lt_unwind_reserve_sample(struct lt_unwind_scratch *scratch) {
  __u32 slot = scratch->process_slot, reason = LT_UNWIND_REASON(scratch->stack.outcome);
  if (reason != LT_UNWIND_NO_TABLES && reason != LT_UNWIND_UNKNOWN_MAPPING && reason != LT_UNWIND_MAPPINGS_BUSY)
    return NULL;
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  // User space has just found that there is nothing to be known.
  if (!process || process->requested == LT_UNWIND_REQUEST_MUTED)
    return NULL;
  if (__sync_fetch_and_add(&process->waiting_samples, 1) < LT_UNWIND_MAX_WAITING_SAMPLES) {
    struct lt_unwind_record *record = bpf_ringbuf_reserve(&lt_unwind_samples, sizeof(*record), 0);
    if (record)
      return record;
  }
  __sync_fetch_and_add(&process->waiting_samples, -1);
  return NULL;
}

// Lists the executable areas. The count is kept in memory: the verifier would follow a variable through every combination of
// areas. Returns false while somebody changes the address space.
static __always_inline bool lt_unwind_list_areas(struct lt_unwind_sample *sample) {
  struct bpf_iter_task_vma areas;
  struct vm_area_struct *area;
  bool can_read = !bpf_iter_task_vma_new(&areas, bpf_get_current_task_btf(), 0);

  while ((area = bpf_iter_task_vma_next(&areas))) {
    if (!(area->vm_flags & LT_VM_EXEC))
      continue;
    __u32 count = *(volatile __u32 *)&sample->area_count;
    if (count >= LT_UNWIND_SAMPLE_AREAS)
      break;
    struct lt_unwind_area *place = &sample->areas[lt_bound(count, LT_UNWIND_SAMPLE_AREAS - 1)];
    place->start = area->vm_start;
    place->end = area->vm_end;
    place->identity = lt_unwind_identity(area);
    *(volatile __u32 *)&sample->area_count = count + 1;
  }
  bpf_iter_task_vma_destroy(&areas);
  return can_read;
}

// A global function, so that the verifier looks at it once.
__noinline int lt_unwind_sample_areas(struct lt_unwind_sample *sample) {
  if (!sample)
    return 0;
  sample->area_count = 0;
  sample->can_list_areas = false;
  if (!bpf_iter_task_vma_new)
    return 0;
  sample->can_list_areas = true;
  return lt_unwind_list_areas(sample) || lt_unwind_list_areas(sample) || lt_unwind_list_areas(sample);
}

__noinline int lt_unwind_sample_stack(struct lt_unwind_record *record, __u64 start) {
  __u32 size = 0;
  if (!record)
    return 0;

  for (__u32 i = 0; i < LT_UNWIND_SAMPLE_PIECES; i++) {
    if (bpf_probe_read_user(record->stack + size, LT_UNWIND_PAGE_BYTES, (void *)(start + size)))
      break;
    size += LT_UNWIND_PAGE_BYTES;
  }
  // What is left of the stack's last page.
  __u64 rest = -start & (LT_UNWIND_PAGE_BYTES - 1);
  if (size < LT_UNWIND_SAMPLE_STACK_BYTES && rest &&
      !bpf_probe_read_user(record->stack + size, rest, (void *)(start + size)))
    size += rest;
  record->sample.stack_bytes = size;
  return size;
}

// Sends the sample to user space.
static __always_inline void lt_unwind_send_sample(struct lt_unwind_record *record, struct lt_unwind_scratch *scratch,
                                                  __u32 site, __u64 pending) {
  struct lt_unwind_sample *sample = &record->sample;

  sample->process_slot = scratch->process_slot;
  sample->generation = scratch->generation;
  sample->process_id = bpf_get_current_pid_tgid() >> 32;
  sample->site = site;
  sample->pending = pending;
  sample->lookup = scratch->lookup;
  sample->sp = scratch->sp;
  sample->fp = scratch->fp;
  sample->view = scratch->view;
  sample->reserved = 0;
  sample->origin = lt_unwind_stack_origin();
  bpf_probe_read_kernel(&sample->walked, sizeof(sample->walked), &scratch->stack);
  lt_unwind_sample_areas(sample);
  lt_unwind_sample_stack(record, scratch->sp);
  bpf_ringbuf_submit(record, 0);
}
