#include "CLibBPF.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOG_CAPACITY = 1 << 16, BPF_LINK_CREATE_COMMAND = 28, PERF_EVENT_ATTACH_TYPE = 41 };

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[LOG_CAPACITY];
static size_t log_length;

static int capture(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG)
    return 0;
  pthread_mutex_lock(&log_lock);
  int written = vsnprintf(log_text + log_length, LOG_CAPACITY - log_length, format, arguments);
  if (written > 0) {
    log_length += (size_t)written;
    if (log_length >= LOG_CAPACITY)
      log_length = LOG_CAPACITY - 1;
  }
  pthread_mutex_unlock(&log_lock);
  return written;
}

void clibbpf_capture_log(void) { libbpf_set_print(capture); }

size_t clibbpf_take_log(char *out, size_t capacity) {
  if (capacity == 0)
    return 0;
  pthread_mutex_lock(&log_lock);
  size_t length = log_length < capacity - 1 ? log_length : capacity - 1;
  memcpy(out, log_text, length);
  out[length] = 0;
  log_length = 0;
  pthread_mutex_unlock(&log_lock);
  return length;
}

// The kernel's union bpf_attr for link creation, with the fields that the installed headers may not have.
struct link_create_multi {
  uint32_t program, target, attach_type, flags;
  uint64_t path, offsets, reference_counters, cookies;
  uint32_t count, multi_flags, process_id, path_descriptor;
};

struct link_create_perf {
  uint32_t program, target, attach_type, flags;
  uint64_t cookie;
};

int clibbpf_link_uprobes(int program, uint32_t attach_type, const char *path, const uint64_t *offsets,
                         const uint64_t *cookies, uint32_t count, uint32_t flags, uint32_t process_id) {
  struct link_create_multi attributes = {
      .program = (uint32_t)program,
      .attach_type = attach_type,
      .path = (uint64_t)(uintptr_t)path,
      .offsets = (uint64_t)(uintptr_t)offsets,
      .cookies = (uint64_t)(uintptr_t)cookies,
      .count = count,
      .multi_flags = flags,
      .process_id = process_id,
  };
  long result = syscall(SYS_bpf, BPF_LINK_CREATE_COMMAND, &attributes, sizeof(attributes));
  return result < 0 ? -errno : (int)result;
}

struct probe_source {
  int type, return_bit;
};

// The number of a perf source of probes and the bit that asks for the return: they are the kernel's to choose.
static int read_probe_source(const char *name, struct probe_source *out) {
  char path[128];
  snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
  FILE *file = fopen(path, "re");
  if (!file)
    return -errno;
  if (fscanf(file, "%d", &out->type) != 1)
    out->type = -1;
  fclose(file);
  snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/format/retprobe", name);
  file = fopen(path, "re");
  if (!file)
    return -errno;
  if (fscanf(file, "config:%d", &out->return_bit) != 1)
    out->return_bit = -1;
  fclose(file);
  return out->type < 0 || out->return_bit < 0 ? -ENODEV : 0;
}

bool clibbpf_has_kprobes(void) {
  struct probe_source source;
  return read_probe_source("kprobe", &source) == 0;
}

int clibbpf_perf_kprobe(const char *function, _Bool is_return) {
  struct probe_source source;
  if (read_probe_source("kprobe", &source))
    return -ENODEV;
  struct perf_event_attr attributes = {
      .type = (uint32_t)source.type,
      .size = sizeof(attributes),
      .config = is_return ? 1ull << source.return_bit : 0,
      .kprobe_func = (uint64_t)(uintptr_t)function,
  };
  long result = syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  return result < 0 ? -errno : (int)result;
}

int64_t clibbpf_tracepoint_pointers(const char *tracepoint, uint32_t *count) {
  static struct btf *types;
  if (!types)
    types = btf__load_vmlinux_btf();
  if (!types)
    return -errno;
  char name[128];
  snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
  int id = btf__find_by_name_kind(types, name, BTF_KIND_TYPEDEF);
  if (id < 0)
    return -ENOENT;
  // A typedef of a pointer to a function, whose first parameter is the tracepoint's own.
  const struct btf_type *type = btf__type_by_id(types, btf__type_by_id(types, (uint32_t)id)->type);
  if (!type || !btf_is_ptr(type))
    return -EINVAL;
  type = btf__type_by_id(types, type->type);
  if (!type || !btf_is_func_proto(type) || btf_vlen(type) == 0)
    return -EINVAL;
  *count = btf_vlen(type) - 1u;
  int64_t pointers = 0;
  for (uint32_t i = 0; i < *count; i++) {
    const struct btf_type *argument = btf__type_by_id(types, btf_params(type)[i + 1].type);
    if (argument && btf_is_ptr(argument))
      pointers |= 1ll << i;
  }
  return pointers;
}

int64_t clibbpf_recursion_misses(int program) {
  struct bpf_prog_info info = {0};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program, &info, &size))
    return -errno;
  return (int64_t)info.recursion_misses;
}

int clibbpf_perf_uprobe(const char *path, uint64_t offset, int process_id, _Bool is_return) {
  static struct probe_source source = {-1, -1};
  if (source.type < 0) {
    int error = read_probe_source("uprobe", &source);
    if (error)
      return error;
  }
  struct perf_event_attr attributes = {
      .type = (uint32_t)source.type,
      .size = sizeof(attributes),
      .config = is_return ? 1ull << source.return_bit : 0,
      .uprobe_path = (uint64_t)(uintptr_t)path,
      .probe_offset = offset,
  };
  int cpu = process_id < 0 ? 0 : -1;
  long result = syscall(SYS_perf_event_open, &attributes, process_id, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  return result < 0 ? -errno : (int)result;
}

int clibbpf_link_perf(int program, int perf_event, uint64_t cookie) {
  struct link_create_perf attributes = {
      .program = (uint32_t)program,
      .target = (uint32_t)perf_event,
      .attach_type = PERF_EVENT_ATTACH_TYPE,
      .cookie = cookie,
  };
  long result = syscall(SYS_bpf, BPF_LINK_CREATE_COMMAND, &attributes, sizeof(attributes));
  return result < 0 ? -errno : (int)result;
}

int clibbpf_open_task_iterator(int program, uint32_t thread_id) {
  union bpf_iter_link_info information = {.task = {.tid = thread_id}};
  LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &information, .iter_info_len = sizeof(information));
  int link = bpf_link_create(program, 0, BPF_TRACE_ITER, &options);
  if (link < 0)
    return link;
  // The iterator outlives the descriptor of its link.
  int iterator = bpf_iter_create(link);
  close(link);
  return iterator;
}

int clibbpf_set_attach_type(struct bpf_program *program, uint32_t attach_type) {
  int error = bpf_program__set_type(program, BPF_PROG_TYPE_KPROBE);
  if (!error)
    error = bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)attach_type);
  return error;
}

int clibbpf_synchronize_rcu(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0) < 0 ? -errno : 0; }

_Bool clibbpf_has_helper(uint32_t helper) {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, (enum bpf_func_id)helper, NULL) == 1;
}
