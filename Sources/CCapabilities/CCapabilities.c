#include "CCapabilities.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Newer than Debian 12's headers.
#define TRACE_UPROBE_MULTI 48
#define TRACE_UPROBE_SESSION 57

static const struct bpf_insn return_zero[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT},
};

static int load(enum bpf_prog_type type, uint32_t attach_type, int btf_id) {
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = (enum bpf_attach_type)attach_type,
              .attach_btf_id = btf_id > 0 ? (uint32_t)btf_id : 0);
  int program =
      bpf_prog_load(type, "lt_capability", "GPL", return_zero, sizeof(return_zero) / sizeof(return_zero[0]), &options);
  return program < 0 ? -errno : program;
}

static int load_for_kernel_function(const char *name, enum bpf_attach_type attach_type) {
  int id = libbpf_find_vmlinux_btf_id(name, attach_type);
  return id < 0 ? id : load(BPF_PROG_TYPE_TRACING, attach_type, id);
}

int ccapability_load(enum ccapability_program program) {
  switch (program) {
    case CCAPABILITY_UPROBE: return load(BPF_PROG_TYPE_KPROBE, 0, 0);
    case CCAPABILITY_UPROBE_MULTI: return load(BPF_PROG_TYPE_KPROBE, TRACE_UPROBE_MULTI, 0);
    case CCAPABILITY_UPROBE_SESSION: return load(BPF_PROG_TYPE_KPROBE, TRACE_UPROBE_SESSION, 0);
    case CCAPABILITY_RAW_TRACEPOINT: return load(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
    case CCAPABILITY_FENTRY: return load_for_kernel_function("vfs_read", BPF_TRACE_FENTRY);
    case CCAPABILITY_TASK_ITERATOR: return load_for_kernel_function("task", BPF_TRACE_ITER);
  }
  return -EINVAL;
}

static int try_map(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
  int map = bpf_map_create(type, "lt_capability", key, value, entries, &options);
  if (map < 0)
    return -errno;
  close(map);
  return 0;
}

int ccapability_ring_buffer(void) { return try_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), 0); }

int ccapability_mappable_array(void) { return try_map(BPF_MAP_TYPE_ARRAY, 4, 4096, 4, BPF_F_MMAPABLE); }

int ccapability_attach_fentry(void) {
  int program = ccapability_load(CCAPABILITY_FENTRY);
  if (program < 0)
    return program;
  int link = bpf_raw_tracepoint_open(NULL, program);
  int result = link < 0 ? -errno : 0;
  if (link >= 0)
    close(link);
  close(program);
  return result;
}

int ccapability_run_task_iterator(void) {
  int program = ccapability_load(CCAPABILITY_TASK_ITERATOR);
  if (program < 0)
    return program;
  int result = 0;
  int link = bpf_link_create(program, 0, BPF_TRACE_ITER, NULL);
  if (link < 0) {
    result = -errno;
  } else {
    int iterator = bpf_iter_create(link);
    char byte;
    if (iterator < 0 || read(iterator, &byte, 1) < 0)
      result = -errno;
    if (iterator >= 0)
      close(iterator);
    close(link);
  }
  close(program);
  return result;
}

int ccapability_ptrace(void) {
  pid_t child = fork();
  if (child < 0)
    return -errno;
  if (child == 0) {
    for (;;)
      pause();
  }
  int result = 0;
  int status;
  if (ptrace(PTRACE_SEIZE, child, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, child, 0, 0) != 0) {
    result = -errno;
  } else if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) {
    result = -EIO;
  }
  kill(child, SIGKILL);
  while (waitpid(child, &status, __WALL) == child && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
  return result;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double ccapability_nanoseconds_per_call(void (*function)(void), uint32_t calls) {
  double start = seconds();
  for (uint32_t call = 0; call < calls; call++)
    function();
  return (seconds() - start) * 1e9 / calls;
}
