// What tells one memory area's contents from another's at the same addresses: the walker and address_space.bpf.c must
// agree on it.
#pragma once

#include "common/core.bpf.h"
#include "unwind_abi.h"

struct timespec64___lt_unwind {
  __s64 tv_sec;
  long tv_nsec;
} __attribute__((preserve_access_index));

struct super_block___lt_unwind {
  __u32 s_dev;
} __attribute__((preserve_access_index));

struct inode___lt_unwind {
  unsigned long i_ino;
  __u32 i_generation;
  struct super_block___lt_unwind *i_sb;
  __s64 i_ctime_sec;
  __u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

// Before Linux 6.11, before 6.6.
struct inode___lt_unwind_old {
  struct timespec64___lt_unwind __i_ctime;
} __attribute__((preserve_access_index));

struct inode___lt_unwind_older {
  struct timespec64___lt_unwind i_ctime;
} __attribute__((preserve_access_index));

struct file___lt_unwind {
  struct inode___lt_unwind *f_inode;
} __attribute__((preserve_access_index));

struct vm_area_struct {
  unsigned long vm_start, vm_end, vm_flags, vm_pgoff;
  struct file___lt_unwind *vm_file;
  const void *vm_ops;
  void *vm_private_data;
} __attribute__((preserve_access_index));

#define LT_VM_EXEC 4

static __always_inline __u64 lt_unwind_change_time(struct inode___lt_unwind *inode) {
  struct inode___lt_unwind_old *old = (void *)inode;
  struct inode___lt_unwind_older *older = (void *)inode;

  if (bpf_core_field_exists(inode->i_ctime_sec))
    return (__u64)inode->i_ctime_sec << 30 ^ inode->i_ctime_nsec;
  if (bpf_core_field_exists(old->__i_ctime))
    return (__u64)old->__i_ctime.tv_sec << 30 ^ old->__i_ctime.tv_nsec;
  if (bpf_core_field_exists(older->i_ctime))
    return (__u64)older->i_ctime.tv_sec << 30 ^ older->i_ctime.tv_nsec;
  return 0;
}

// The identity of what an area shows: of its file, as it is since its last change, and of the place in it, so that the
// parts of a split area keep it. Never 0. Anonymous memory is all the same.
static __always_inline __u64 lt_unwind_identity(struct vm_area_struct *area) {
  struct file___lt_unwind *file = area->vm_file;

  if (file) {
    struct inode___lt_unwind *inode = file->f_inode;
    __u64 name = inode->i_ino ^ (__u64)inode->i_sb->s_dev << 32 ^ (__u64)inode->i_generation << 16;
    return (lt_mix(lt_unwind_change_time(inode) ^ lt_mix(name)) | 1) + (area->vm_pgoff << 12) - area->vm_start;
  }
  // The vDSO and its like have operations, but no file.
  __u64 operations = 0, data = 0;
  bpf_core_read(&operations, sizeof(operations), &area->vm_ops);
  bpf_core_read(&data, sizeof(data), &area->vm_private_data);
  return operations ? lt_mix(operations ^ lt_mix(data)) | 1 : LT_UNWIND_ANONYMOUS;
}
