// The kernel's own record of the return addresses that uretprobes replaced.
#pragma once

#include "common/core.bpf.h"

#define LT_UNWIND_MAX_RETURN_INSTANCES 32

struct return_instance___lt_unwind {
  unsigned long stack, orig_ret_vaddr;
  struct return_instance___lt_unwind *next;
} __attribute__((preserve_access_index));

struct uprobe_task___lt_unwind {
  struct return_instance___lt_unwind *return_instances;
} __attribute__((preserve_access_index));

struct task_struct___lt_unwind {
  struct uprobe_task___lt_unwind *utask;
} __attribute__((preserve_access_index));

// The newest one of the running thread; NULL if there is none.
static __always_inline struct return_instance___lt_unwind *lt_unwind_first_return(void) {
  struct task_struct___lt_unwind *task = (void *)bpf_get_current_task();
  struct return_instance___lt_unwind *instance = NULL;
  struct uprobe_task___lt_unwind *uprobe_task = NULL;

  if (!bpf_core_field_exists(task->utask))
    return NULL;
  bpf_core_read(&uprobe_task, sizeof(uprobe_task), &task->utask);
  if (uprobe_task)
    bpf_core_read(&instance, sizeof(instance), &uprobe_task->return_instances);
  return instance;
}

// The return address that a uretprobe took from `place` on the running thread's stack; 0 if none did.
static __always_inline __u64 lt_unwind_original_return(__u64 place) {
  struct return_instance___lt_unwind *instance = lt_unwind_first_return();

  for (int i = 0; i < LT_UNWIND_MAX_RETURN_INSTANCES && instance; i++) {
    unsigned long stack = 0, original = 0;
    bpf_core_read(&stack, sizeof(stack), &instance->stack);
    if (stack == place) {
      bpf_core_read(&original, sizeof(original), &instance->orig_ret_vaddr);
      return original;
    }
    bpf_core_read(&instance, sizeof(instance), &instance->next);
  }
  return 0;
}
