// File mappings that stay readable: see include/CElfUtils.h.
#define _GNU_SOURCE
#include "CElfUtils.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// A target may truncate a file that we have mapped; touching a page that is gone raises SIGBUS. The handler puts a zero
// page there if the address belongs to one of our mappings and leaves every other SIGBUS to whoever handled it before.
// The slots are written under a lock and read by the handler without one, so `end` goes from 0 to its value last and
// back to 0 first.
enum { CELF_MAX_MAPPINGS = 16384 };

struct celf_range {
  _Atomic uintptr_t start;
  _Atomic uintptr_t end;
};

static struct celf_range celf_ranges[CELF_MAX_MAPPINGS];
static pthread_mutex_t celf_ranges_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t celf_handler_once = PTHREAD_ONCE_INIT;
static struct sigaction celf_previous_action;
static uintptr_t celf_page_size;

static void celf_handle_bus_error(int signal_number, siginfo_t *info, void *context) {
  uintptr_t address = (uintptr_t)info->si_addr;
  if (info->si_code > 0) {
    for (int index = 0; index < CELF_MAX_MAPPINGS; index++) {
      uintptr_t end = atomic_load_explicit(&celf_ranges[index].end, memory_order_acquire);
      uintptr_t start = atomic_load_explicit(&celf_ranges[index].start, memory_order_acquire);
      if (end == 0 || address < start || address >= end)
        continue;
      int saved_errno = errno;
      void *page = (void *)(address & ~(celf_page_size - 1));
      void *mapped = mmap(page, celf_page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      errno = saved_errno;
      if (mapped == page)
        return;
      break;
    }
  }
  if (celf_previous_action.sa_flags & SA_SIGINFO) {
    celf_previous_action.sa_sigaction(signal_number, info, context);
  } else if (celf_previous_action.sa_handler != SIG_DFL && celf_previous_action.sa_handler != SIG_IGN) {
    celf_previous_action.sa_handler(signal_number);
  } else {
    // Returning repeats the access, which then ends the process as it would have without us.
    signal(SIGBUS, SIG_DFL);
    if (info->si_code <= 0)
      raise(SIGBUS);
  }
}

static void celf_install_handler(void) {
  celf_page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = celf_handle_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &celf_previous_action);
}

/// The file's pages and one zero page behind them, or 0 if that overflows.
static size_t celf_reserved_size(size_t size) {
  size_t page_size = celf_page_size;
  if (size == 0 || size > SIZE_MAX / 2)
    return 0;
  return (size + page_size - 1) / page_size * page_size + page_size;
}

int celf_map_file(int descriptor, size_t size, const void **out) {
  pthread_once(&celf_handler_once, celf_install_handler);
  *out = NULL;
  size_t reserved = celf_reserved_size(size);
  if (reserved == 0)
    return -EINVAL;
  void *base = mmap(NULL, reserved, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return -errno;

  pthread_mutex_lock(&celf_ranges_lock);
  int slot = 0;
  while (slot < CELF_MAX_MAPPINGS && atomic_load_explicit(&celf_ranges[slot].end, memory_order_relaxed) != 0)
    slot++;
  if (slot < CELF_MAX_MAPPINGS) {
    atomic_store_explicit(&celf_ranges[slot].start, (uintptr_t)base, memory_order_release);
    atomic_store_explicit(&celf_ranges[slot].end, (uintptr_t)base + reserved, memory_order_release);
  }
  pthread_mutex_unlock(&celf_ranges_lock);
  if (slot == CELF_MAX_MAPPINGS) {
    munmap(base, reserved);
    return -EMFILE;
  }
  // Writable, though nothing is written but libelf's notes: the kernel puts breakpoints into every private mapping of a
  // probed file that is not, and we would read them as its code.
  if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
    int code = errno;
    celf_unmap(base, size);
    return -code;
  }
  *out = base;
  return 0;
}

int celf_map_copy(const void *source, size_t size, const void **out) {
  pthread_once(&celf_handler_once, celf_install_handler);
  *out = NULL;
  size_t reserved = celf_reserved_size(size);
  if (reserved == 0)
    return -EINVAL;
  void *base = mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return -errno;
  memcpy(base, source, size);
  mprotect(base, reserved, PROT_READ);
  *out = base;
  return 0;
}

void celf_unmap(const void *base, size_t size) {
  size_t reserved = celf_reserved_size(size);
  pthread_mutex_lock(&celf_ranges_lock);
  for (int index = 0; index < CELF_MAX_MAPPINGS; index++) {
    uintptr_t end = atomic_load_explicit(&celf_ranges[index].end, memory_order_relaxed);
    uintptr_t start = atomic_load_explicit(&celf_ranges[index].start, memory_order_relaxed);
    if (end != 0 && start == (uintptr_t)base) {
      atomic_store_explicit(&celf_ranges[index].end, 0, memory_order_release);
      break;
    }
  }
  munmap((void *)base, reserved);
  pthread_mutex_unlock(&celf_ranges_lock);
}

int celf_make_writable(const void *start, size_t size) {
  uintptr_t first = (uintptr_t)start & ~(celf_page_size - 1);
  uintptr_t end = ((uintptr_t)start + size + celf_page_size - 1) & ~(celf_page_size - 1);
  return mprotect((void *)first, end - first, PROT_READ | PROT_WRITE) == 0 ? 0 : -errno;
}

void celf_release_pages(const void *base, size_t size) { madvise((void *)base, size, MADV_DONTNEED); }

int celf_open_in_root(const char *root, const char *path, bool follows_links, int *out) {
  *out = -1;
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0)
    return -errno;
  struct open_how how;
  memset(&how, 0, sizeof how);
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | (follows_links ? RESOLVE_NO_MAGICLINKS : RESOLVE_NO_SYMLINKS);
  int place = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
  int failure = errno;
  close(directory);
  if (place < 0)
    return -failure;
  // O_PATH has no side effect, so the kind of file is known before anything is opened for real.
  struct stat status;
  if (fstat(place, &status) != 0) {
    int code = errno;
    close(place);
    return -code;
  }
  if (!S_ISREG(status.st_mode)) {
    close(place);
    return -EINVAL;
  }
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", place);
  int descriptor = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  int code = errno;
  close(place);
  if (descriptor < 0)
    return -code;
  *out = descriptor;
  return 0;
}

long celf_read_process(int process, uint64_t address, void *destination, size_t size) {
  struct iovec local = {destination, size};
  struct iovec remote = {(void *)(uintptr_t)address, size};
  ssize_t count = process_vm_readv(process, &local, 1, &remote, 1, 0);
  return count < 0 ? -errno : count;
}

void celf_return_freed_memory(void) { malloc_trim(0); }
