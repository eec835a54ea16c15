#include "CPerfEvents.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include "x86_64/registers.h"
#endif

int cperf_open_faults(pid_t thread, int cpu, uint64_t period, uint32_t stack_bytes) {
  struct perf_event_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_PAGE_FAULTS_MIN;
  attributes.sample_period = period;
  // Not PERF_SAMPLE_PERIOD: with it the kernel samples every single event of the software kind.
  attributes.sample_type =
      PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ADDR | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
  attributes.sample_regs_user = SAMPLED_REGISTERS;
  attributes.sample_stack_user = stack_bytes;
  attributes.disabled = 1;
  attributes.inherit = 1;
  // Threads, not children, which have mappings of their own. Before Linux 5.13 there is no such choice.
  attributes.inherit_thread = 1;
  attributes.wakeup_events = 1;
  attributes.use_clockid = 1;
  attributes.clockid = CLOCK_MONOTONIC;
  long result = syscall(SYS_perf_event_open, &attributes, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  if (result < 0 && (errno == EINVAL || errno == E2BIG)) {
    attributes.inherit_thread = 0;
    result = syscall(SYS_perf_event_open, &attributes, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  }
  return result < 0 ? -errno : (int)result;
}

int cperf_enable(int descriptor) { return ioctl(descriptor, PERF_EVENT_IOC_ENABLE, 0) < 0 ? -errno : 0; }

int cperf_redirect(int descriptor, int to) { return ioctl(descriptor, PERF_EVENT_IOC_SET_OUTPUT, to) < 0 ? -errno : 0; }

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void *cperf_map(int descriptor, size_t pages) {
  void *memory = mmap(NULL, (pages + 1) * page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

void cperf_unmap(void *memory, size_t pages) { munmap(memory, (pages + 1) * page_bytes()); }

// A view of the records, which wrap around at the end of the memory.
struct reader {
  const unsigned char *data;
  uint64_t size, position, end;
};

static void copy(struct reader *reader, void *out, size_t bytes) {
  if (bytes > reader->end - reader->position)
    bytes = reader->end - reader->position;
  uint64_t offset = reader->position & (reader->size - 1);
  size_t first = bytes < reader->size - offset ? bytes : (size_t)(reader->size - offset);
  memcpy(out, reader->data + offset, first);
  memcpy((char *)out + first, reader->data, bytes - first);
  reader->position += bytes;
}

static uint64_t word(struct reader *reader) {
  uint64_t value = 0;
  copy(reader, &value, sizeof(value));
  return value;
}

static int read_fault(struct reader *reader, cperf_fault *fault, void *stack, size_t capacity) {
  uint64_t ids = word(reader);
  fault->process_id = (uint32_t)ids;
  fault->thread_id = (uint32_t)(ids >> 32);
  fault->time = word(reader);
  fault->address = word(reader);
  // No registers: a thread that is about to end, or one of the kernel's.
  if (word(reader) == PERF_SAMPLE_REGS_ABI_NONE)
    return CPERF_OTHER;
  uint64_t registers[SAMPLED_REGISTER_COUNT];
  for (size_t i = 0; i < SAMPLED_REGISTER_COUNT; i++)
    registers[i] = word(reader);
  fault->frame_pointer = registers[SAMPLED_FRAME_POINTER];
  fault->stack_pointer = registers[SAMPLED_STACK_POINTER];
  fault->instruction_pointer = registers[SAMPLED_INSTRUCTION_POINTER];
  fault->stack_bytes = 0;
  uint64_t size = word(reader);
  if (size == 0)
    return CPERF_FAULT;
  size_t wanted = size < capacity ? (size_t)size : capacity;
  copy(reader, stack, wanted);
  reader->position += size - wanted;
  uint64_t filled = word(reader);
  fault->stack_bytes = filled < wanted ? (size_t)filled : wanted;
  return CPERF_FAULT;
}

int cperf_next(void *memory, size_t pages, cperf_fault *fault, void *stack, size_t capacity, uint64_t *lost) {
  struct perf_event_mmap_page *control = memory;
  uint64_t head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
  uint64_t tail = control->data_tail;
  if (tail == head)
    return CPERF_NOTHING;
  struct reader reader = {(unsigned char *)memory + page_bytes(), pages * page_bytes(), tail, head};
  struct perf_event_header header = {0};
  copy(&reader, &header, sizeof(header));
  if (header.size < sizeof(header) || header.size > head - tail) {
    // Cannot be; going on would read the same for ever.
    __atomic_store_n(&control->data_tail, head, __ATOMIC_RELEASE);
    return CPERF_OTHER;
  }
  reader.end = tail + header.size;
  int kind = CPERF_OTHER;
  if (header.type == PERF_RECORD_SAMPLE) {
    kind = read_fault(&reader, fault, stack, capacity);
  } else if (header.type == PERF_RECORD_LOST) {
    (void)word(&reader);
    *lost += word(&reader);
    kind = CPERF_LOST;
  }
  __atomic_store_n(&control->data_tail, tail + header.size, __ATOMIC_RELEASE);
  return kind;
}
