// Makes sure that the mappings user space published are still what the process has, before a walk relies on them.
//
// The kernel counts the changes of a process's address space (mm_lock_seq, Linux 6.4). While the count is what it was at
// the last look, nothing can have changed, which one comparison per walk tells. When it is not, each published mapping
// is compared with the area that lies there now. So it does not matter who changed what: the dynamic loader, the
// program by system calls of its own, or another thread.
//
// Looking takes a lock, which whoever changes something holds. While it cannot be had, the number of executable pages must
// do: if it is unchanged the walk goes on, and the next look tells whether that was right (if not, DOUBTFUL_STACK counts
// the stack). Kernels that do not count changes have only the number of pages, which tells of everything but the exchange of
// code by code of the same size; what the dynamic loader exchanges they learn from it.
#pragma once

#include "common/core.bpf.h"
#include "unwind/changes.bpf.h"
#include "unwind/identity.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind_abi.h"

#define LT_UNWIND_VALIDATION_TRIES 4

// mm_lock_seq as Linux 6.13 has it: odd while somebody changes something.
struct mm_struct___lt_unwind_sequence {
  struct {
    unsigned int sequence;
  } mm_lock_seq;
} __attribute__((preserve_access_index));

// Before: raised at the end of each change.
struct mm_struct___lt_unwind_counter {
  int mm_lock_seq;
} __attribute__((preserve_access_index));

struct bpf_iter_task_vma {
  __u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *iterator, struct task_struct *task,
                                 __u64 address) __ksym __weak;
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *iterator) __ksym __weak;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *iterator) __ksym __weak;

static __always_inline struct mm_struct *lt_unwind_memory(void) { return bpf_get_current_task_btf()->mm; }

static __always_inline __u64 lt_unwind_executable_pages(void) {
  struct mm_struct *memory = lt_unwind_memory();

  return memory ? memory->exec_vm : 0;
}

static __always_inline bool lt_unwind_counts_changes(void) {
  return bpf_core_field_exists(((struct mm_struct___lt_unwind_counter *)0)->mm_lock_seq);
}

// A number for the state of the current process's address space. A change under way counts as not made yet: nothing runs in
// what is not mapped yet, or is about to be unmapped.
static __always_inline __u64 lt_unwind_changes(void) {
  struct mm_struct___lt_unwind_sequence *memory = (void *)lt_unwind_memory();
  struct mm_struct___lt_unwind_counter *older = (void *)memory;

  if (!memory)
    return 0;
  if (bpf_core_field_exists(memory->mm_lock_seq.sequence))
    return memory->mm_lock_seq.sequence & ~1U;
  if (bpf_core_field_exists(older->mm_lock_seq))
    return (__u32)older->mm_lock_seq;
  return lt_unwind_executable_pages() & LT_UNWIND_STATE_MASK;
}

struct lt_unwind_check {
  __u64 start, end, identity;
  __u32 next, end_index;  // in lt_unwind_mappings
  bool is_same, is_replaced;
};

static long lt_unwind_check_area([[maybe_unused]] struct task_struct *task, struct vm_area_struct *area,
                                 struct lt_unwind_check *check) {
  check->is_same = area->vm_start <= check->start && area->vm_end >= check->end && area->vm_flags & LT_VM_EXEC &&
                   (lt_unwind_identity(area) == check->identity || !check->identity);
  return 0;
}

// Whether code other than what was published can run in a range, of which not all is as it was. What is unmapped or no
// longer executable does no harm: runtime compilers change their memory all the time.
static __always_inline bool lt_unwind_has_other_code(struct lt_unwind_check *check) {
  struct bpf_iter_task_vma areas;
  struct vm_area_struct *area;

  if (!bpf_iter_task_vma_new)
    return true;
  bool has_other = bpf_iter_task_vma_new(&areas, bpf_get_current_task_btf(), check->start);
  // Ends, because a process has a limited number of areas.
  while ((area = bpf_iter_task_vma_next(&areas)) && area->vm_start < check->end) {
    if (area->vm_flags & LT_VM_EXEC && lt_unwind_identity(area) != check->identity) {
      has_other = true;
      break;
    }
  }
  bpf_iter_task_vma_destroy(&areas);
  return has_other;
}

// Looks at the next mapping; bpf_loop's callback.
static long lt_unwind_check_mapping([[maybe_unused]] __u32 round, void *context) {
  struct lt_unwind_check *check = context;
  __u32 key = check->next;
  struct lt_unwind_mapping *mapping = bpf_map_lookup_elem(&lt_unwind_mappings, &key);

  if (mapping && mapping->chunk != LT_UNWIND_CHUNK_GONE) {
    check->start = mapping->start;
    check->end = mapping->start + mapping->length;
    check->identity = mapping->identity;
    check->is_same = false;
    if (bpf_find_vma(bpf_get_current_task_btf(), check->start, lt_unwind_check_area, check, 0) == -16 /* EBUSY */)
      return 0;
    if (!check->is_same && lt_unwind_has_other_code(check)) {
      mapping->chunk = LT_UNWIND_CHUNK_GONE;
      check->is_replaced = true;
    }
  }
  check->next = key + 1;
  return check->next >= check->end_index;
}

// Compares what is published for scratch->process_slot with the address space in the state `changes`, and takes out what was
// replaced. False: it could not be looked at.
__noinline int lt_unwind_validate(struct lt_unwind_scratch *scratch, __u64 changes) {
  if (!scratch || !lt_unwind_can_walk())
    return false;
  __u32 slot = scratch->process_slot;
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  if (!process)
    return false;

  __u64 view = scratch->view, pages = lt_unwind_executable_pages();
  __u32 first = LT_UNWIND_VIEW_FIRST(view), count = LT_UNWIND_VIEW_COUNT(view);
  struct lt_unwind_check check = {.next = first, .end_index = first + count};
  __u32 doubtful = *(volatile __u32 *)&process->doubtful;
  lt_unwind_count(LT_UNWIND_VALIDATION);
  if (count)
    bpf_loop(count + LT_UNWIND_VALIDATION_TRIES, lt_unwind_check_mapping, &check, 0);
  if (check.next < check.end_index)
    return false;
  // The walks that were counted before this look are settled by it.
  if (doubtful)
    __sync_fetch_and_add(&process->doubtful, -doubtful);
  if (check.is_replaced)
    lt_unwind_count_many(LT_UNWIND_DOUBTFUL_STACK, doubtful);
  if (check.is_replaced) {
    lt_unwind_count(LT_UNWIND_INVALIDATION);
    // Should user space have published something else meanwhile, that is to be looked at instead.
    if (!lt_unwind_renew_view(process, view))
      return false;
    scratch->view = *(volatile __u64 *)&process->view;
    scratch->address_space = LT_UNWIND_VIEW_ADDRESS_SPACE(scratch->view) << LT_UNWIND_ADDRESS_BITS;
  }
  // A view that may not be cached has no number of its own and is looked at in every walk.
  if (scratch->address_space) {
    process->executable_pages = pages;
    *(volatile __u64 *)&process->validated = LT_UNWIND_VIEW_ADDRESS_SPACE(scratch->view) << 48 | changes;
  }
  return true;
}

// Takes the view of the mappings that the whole walk will use. Returns 0, or why there is none.
static __always_inline enum lt_unwind_counter lt_unwind_open(struct lt_unwind_scratch *scratch) {
  __u32 slot = scratch->process_slot;
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);

  scratch->view = 0;
  // The order matters: writers clear the view before they change the generation, and raise the epoch before they set it.
  if (!process || *(volatile __u32 *)&process->generation != scratch->generation)
    return LT_UNWIND_NO_TABLES;
  __u64 view = *(volatile __u64 *)&process->view, changes = lt_unwind_changes();
  scratch->view = view;
  scratch->address_space = LT_UNWIND_VIEW_ADDRESS_SPACE(view) << LT_UNWIND_ADDRESS_BITS;
  if (!view)
    return LT_UNWIND_NO_TABLES;
  __u64 validated = *(volatile __u64 *)&process->validated;
  if (validated == (LT_UNWIND_VIEW_ADDRESS_SPACE(view) << 48 | changes) && validated >> 48)
    return LT_UNWIND_NO_REASON;
  if (lt_unwind_validate(scratch, changes))
    return LT_UNWIND_NO_REASON;
  if (validated >> 48 != LT_UNWIND_VIEW_ADDRESS_SPACE(view) || !(validated >> 48) ||
      *(volatile __u64 *)&process->executable_pages != lt_unwind_executable_pages())
    return LT_UNWIND_MAPPINGS_BUSY;
  __sync_fetch_and_add(&process->doubtful, 1);
  return LT_UNWIND_NO_REASON;
}
