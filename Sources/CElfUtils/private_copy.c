// Private copies of files, filled as they are read: see include/CElfUtils.h.
#define _GNU_SOURCE
#include "CElfUtils.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

// The owner of a file may write to it or truncate it while it is read here. A copy is anonymous memory in which no page is
// present at first. The kernel is asked (by userfaultfd) to raise SIGBUS when such a page is touched; the handler reads the
// bytes from the file and has the kernel install them. A page is installed once: whoever looks again sees the same bytes, and
// of two threads that touch it at once the second finds the page of the first.
// The slots are written under a lock and read by the handler without one, so `end` goes from 0 to its value last and
// back to 0 first.
enum {
  CELF_MAX_COPIES = 16384,
  CELF_STAGING_SIZE = 64 << 10,
  CELF_STAGING_COUNT = 8,
};

struct celf_copy {
  _Atomic uintptr_t start;
  _Atomic uintptr_t end;
  /// Bytes of the file.
  _Atomic size_t size;
  /// Bytes that are present.
  _Atomic size_t resident;
  /// Where the last touch ended, and how much it read: reading on from there reads ahead.
  _Atomic uintptr_t next;
  _Atomic size_t chunk;
  atomic_int descriptor;
  atomic_bool is_incomplete;
};

static struct celf_copy celf_copies[CELF_MAX_COPIES];
/// Slots from here on have never been used.
static atomic_int celf_copy_count;
static pthread_mutex_t celf_copies_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t celf_once = PTHREAD_ONCE_INIT;
static struct sigaction celf_previous_action;
static uintptr_t celf_page_size;
/// The kernel's answerer of touches; −1 where it refuses, then files are copied as a whole.
static int celf_touches = -1;
static _Atomic size_t celf_total;
static _Atomic size_t celf_limit;

static unsigned char celf_staging[CELF_STAGING_COUNT][CELF_STAGING_SIZE];
static atomic_bool celf_staging_taken[CELF_STAGING_COUNT];

/// Reads `size` bytes of a file; what the file does not have any more, or not let us read, is 0.
static void celf_read_or_clear(int descriptor, unsigned char *out, size_t size, off_t offset) {
  size_t filled = 0;
  while (filled < size) {
    ssize_t got = pread(descriptor, out + filled, size - filled, offset + (off_t)filled);
    if (got > 0)
      filled += (size_t)got;
    else if (got == 0 || errno != EINTR)
      break;
  }
  memset(out + filled, 0, size - filled);
}

/// Makes pages present that are not yet: with bytes, or with zeros that take no memory if `source` is NULL. Returns the number
/// of bytes installed, or −errno if the first page could not be.
static long celf_install(uintptr_t address, const unsigned char *source, size_t size) {
  size_t done = 0, installed = 0;
  while (done < size) {
    int64_t moved;
    int result;
    if (source) {
      struct uffdio_copy copy = {.dst = address + done, .src = (uintptr_t)source + done, .len = size - done};
      result = ioctl(celf_touches, UFFDIO_COPY, &copy);
      moved = copy.copy;
    } else {
      struct uffdio_zeropage zero = {.range = {.start = address + done, .len = size - done}};
      result = ioctl(celf_touches, UFFDIO_ZEROPAGE, &zero);
      moved = zero.zeropage;
    }
    if (result == 0)
      return (long)(installed + size - done);
    if (moved > 0) {
      done += (size_t)moved;
      installed += (size_t)moved;
    } else if (errno == EEXIST) {
      done += celf_page_size;
    } else if (errno == ENOENT && size - done > celf_page_size) {
      // What lies ahead is a mapping of its own, for instance because libelf may write there.
      size = done + celf_page_size;
    } else if (errno != EAGAIN && errno != EINTR) {
      return done > 0 ? (long)installed : -errno;
    }
  }
  return (long)installed;
}

static bool celf_is_zero(const unsigned char *bytes, size_t size) {
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/// Fills the page at an address of a copy, and some of those behind it when the copy is read from front to back.
static bool celf_fill(struct celf_copy *copy, uintptr_t page) {
  uintptr_t start = atomic_load_explicit(&copy->start, memory_order_relaxed);
  size_t size = atomic_load_explicit(&copy->size, memory_order_relaxed);
  size_t offset = page - start;
  if (offset >= size)
    return celf_install(page, NULL, celf_page_size) >= 0;
  if (atomic_load_explicit(&celf_total, memory_order_relaxed) >=
      atomic_load_explicit(&celf_limit, memory_order_relaxed)) {
    atomic_store_explicit(&copy->is_incomplete, true, memory_order_relaxed);
    return celf_install(page, NULL, celf_page_size) >= 0;
  }
  size_t chunk = celf_page_size;
  if (page == atomic_load_explicit(&copy->next, memory_order_relaxed)) {
    chunk = atomic_load_explicit(&copy->chunk, memory_order_relaxed) * 2;
    if (chunk > CELF_STAGING_SIZE)
      chunk = CELF_STAGING_SIZE;
  }
  size_t pages_left = (size - offset + celf_page_size - 1) / celf_page_size * celf_page_size;
  if (chunk > pages_left)
    chunk = pages_left;
  int staging = 0;
  while (staging < CELF_STAGING_COUNT && atomic_exchange(&celf_staging_taken[staging], true))
    staging++;
  unsigned char own[4096];
  unsigned char *buffer = own;
  if (staging < CELF_STAGING_COUNT)
    buffer = celf_staging[staging];
  else if (celf_page_size > sizeof own)
    return false;
  else
    chunk = celf_page_size;
  size_t wanted = size - offset < chunk ? size - offset : chunk;
  celf_read_or_clear(atomic_load_explicit(&copy->descriptor, memory_order_relaxed), buffer, wanted, (off_t)offset);
  memset(buffer + wanted, 0, chunk - wanted);
  // A sparse file costs no memory where it is empty.
  bool is_zero = celf_is_zero(buffer, chunk);
  long installed = celf_install(page, is_zero ? NULL : buffer, chunk);
  if (staging < CELF_STAGING_COUNT)
    atomic_store(&celf_staging_taken[staging], false);
  if (installed < 0)
    return false;
  if (!is_zero) {
    atomic_fetch_add(&copy->resident, (size_t)installed);
    atomic_fetch_add(&celf_total, (size_t)installed);
  }
  atomic_store_explicit(&copy->chunk, chunk, memory_order_relaxed);
  atomic_store_explicit(&copy->next, page + chunk, memory_order_relaxed);
  return true;
}

static void celf_handle_bus_error(int signal_number, siginfo_t *info, void *context) {
  uintptr_t address = (uintptr_t)info->si_addr;
  int count = info->si_code > 0 ? atomic_load_explicit(&celf_copy_count, memory_order_acquire) : 0;
  for (int index = 0; index < count; index++) {
    struct celf_copy *copy = &celf_copies[index];
    uintptr_t end = atomic_load_explicit(&copy->end, memory_order_acquire);
    uintptr_t start = atomic_load_explicit(&copy->start, memory_order_acquire);
    // The slot may have been given to another copy between the two.
    if (end == 0 || address < start || address >= end || atomic_load_explicit(&copy->end, memory_order_acquire) != end)
      continue;
    int saved_errno = errno;
    bool is_filled = celf_fill(copy, address & ~(celf_page_size - 1));
    errno = saved_errno;
    if (is_filled)
      return;
    break;
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

/// The smallest bound of memory that a control group's directory and those above it set; SIZE_MAX without one.
static size_t celf_group_limit(void) {
  char line[4096], directory[4200], path[4300];
  size_t limit = SIZE_MAX;
  directory[0] = 0;
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (!file)
    return limit;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "0::", 3) == 0)
      snprintf(directory, sizeof directory, "/sys/fs/cgroup%s", line + 3);
  }
  fclose(file);
  while (strlen(directory) > strlen("/sys/fs/cgroup")) {
    static const char *const names[] = {"memory.max", "memory.high"};
    for (int index = 0; index < 2; index++) {
      snprintf(path, sizeof path, "%s/%s", directory, names[index]);
      unsigned long long value;
      file = fopen(path, "re");
      if (file && fscanf(file, "%llu", &value) == 1 && value < limit)
        limit = value;
      if (file)
        fclose(file);
    }
    *strrchr(directory, '/') = 0;
  }
  return limit;
}

/// Half of the memory that this process may use, but at least 32 MiB and at most 1 GiB.
static size_t celf_choose_limit(void) {
  long pages = sysconf(_SC_PHYS_PAGES);
  size_t limit = pages > 0 ? (size_t)pages * celf_page_size : SIZE_MAX;
  size_t group = celf_group_limit();
  limit = (group < limit ? group : limit) / 2;
  if (limit < 32u << 20)
    return 32u << 20;
  return limit < 1u << 30 ? limit : 1u << 30;
}

static void celf_begin(void) {
  celf_page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  if (atomic_load(&celf_limit) == 0)
    atomic_store(&celf_limit, celf_choose_limit());
  int touches = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (touches < 0 && errno == EINVAL)
    touches = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api interface = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};
  if (touches >= 0 && ioctl(touches, UFFDIO_API, &interface) != 0) {
    close(touches);
    touches = -1;
  }
  if (touches < 0)
    return;
  celf_touches = touches;
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

/// Adds to what is copied in all, unless that would exceed the limit.
static bool celf_reserve(size_t size) {
  size_t total = atomic_load(&celf_total);
  do {
    if (size > atomic_load(&celf_limit) || total > atomic_load(&celf_limit) - size)
      return false;
  } while (!atomic_compare_exchange_weak(&celf_total, &total, total + size));
  return true;
}

/// Copies a whole file at once, for kernels that do not tell of touches.
static int celf_copy_whole(int descriptor, size_t size, size_t reserved, void **out) {
  if (!celf_reserve(reserved))
    return -EFBIG;
  unsigned char *base =
      mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    int code = errno;
    atomic_fetch_sub(&celf_total, reserved);
    return -code;
  }
  celf_read_or_clear(descriptor, base, size, 0);
  mprotect(base, reserved, PROT_READ);
  *out = base;
  return 0;
}

int celf_copy_file(int descriptor, size_t size, _Bool is_lazy, const void **out, int *out_slot) {
  pthread_once(&celf_once, celf_begin);
  *out = NULL;
  size_t reserved = celf_reserved_size(size);
  if (reserved == 0)
    return -EINVAL;
  is_lazy = is_lazy && celf_touches >= 0;
  void *base = NULL;
  if (is_lazy) {
    base = mmap(NULL, reserved, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
      return -errno;
    struct uffdio_register range = {.range = {(uintptr_t)base, reserved}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(celf_touches, UFFDIO_REGISTER, &range) != 0) {
      int code = errno;
      munmap(base, reserved);
      return -code;
    }
  } else {
    int result = celf_copy_whole(descriptor, size, reserved, &base);
    if (result)
      return result;
  }

  pthread_mutex_lock(&celf_copies_lock);
  int slot = 0;
  while (slot < CELF_MAX_COPIES && atomic_load_explicit(&celf_copies[slot].end, memory_order_relaxed) != 0)
    slot++;
  if (slot < CELF_MAX_COPIES) {
    struct celf_copy *copy = &celf_copies[slot];
    atomic_store(&copy->size, size);
    atomic_store(&copy->descriptor, is_lazy ? descriptor : -1);
    atomic_store(&copy->resident, is_lazy ? 0 : reserved);
    atomic_store(&copy->next, 0);
    atomic_store(&copy->chunk, 0);
    atomic_store(&copy->is_incomplete, false);
    atomic_store(&copy->start, (uintptr_t)base);
    atomic_store_explicit(&copy->end, (uintptr_t)base + reserved, memory_order_release);
    if (slot >= atomic_load(&celf_copy_count))
      atomic_store_explicit(&celf_copy_count, slot + 1, memory_order_release);
  }
  pthread_mutex_unlock(&celf_copies_lock);
  if (slot == CELF_MAX_COPIES) {
    munmap(base, reserved);
    if (!is_lazy)
      atomic_fetch_sub(&celf_total, reserved);
    return -EMFILE;
  }
  *out = base;
  *out_slot = slot;
  return 0;
}

int celf_copy_memory(const void *source, size_t size, const void **out) {
  pthread_once(&celf_once, celf_begin);
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

void celf_free_copy(const void *base, size_t size, int slot) {
  pthread_mutex_lock(&celf_copies_lock);
  if (slot >= 0) {
    struct celf_copy *copy = &celf_copies[slot];
    atomic_fetch_sub(&celf_total, atomic_exchange(&copy->resident, 0));
    atomic_store_explicit(&copy->end, 0, memory_order_release);
  }
  munmap((void *)base, celf_reserved_size(size));
  pthread_mutex_unlock(&celf_copies_lock);
}

void celf_release_pages(int slot) {
  if (slot < 0)
    return;
  struct celf_copy *copy = &celf_copies[slot];
  if (atomic_load(&copy->descriptor) < 0 || atomic_load(&copy->next) == 0)
    return;
  uintptr_t start = atomic_load(&copy->start);
  madvise((void *)start, atomic_load(&copy->end) - start, MADV_DONTNEED);
  atomic_fetch_sub(&celf_total, atomic_exchange(&copy->resident, 0));
  atomic_store(&copy->next, 0);
  atomic_store(&copy->is_incomplete, false);
}

size_t celf_resident_size(int slot) { return slot < 0 ? 0 : atomic_load(&celf_copies[slot].resident); }

_Bool celf_is_incomplete(int slot) { return slot >= 0 && atomic_load(&celf_copies[slot].is_incomplete); }

_Bool celf_copies_are_lazy(void) {
  pthread_once(&celf_once, celf_begin);
  return celf_touches >= 0;
}

size_t celf_copied_size(void) { return atomic_load(&celf_total); }

size_t celf_copies_limit(void) {
  pthread_once(&celf_once, celf_begin);
  return atomic_load(&celf_limit);
}

void celf_limit_copies(size_t size) { atomic_store(&celf_limit, size); }

int celf_make_writable(const void *start, size_t size) {
  uintptr_t first = (uintptr_t)start & ~(celf_page_size - 1);
  uintptr_t end = ((uintptr_t)start + size + celf_page_size - 1) & ~(celf_page_size - 1);
  return mprotect((void *)first, end - first, PROT_READ | PROT_WRITE) == 0 ? 0 : -errno;
}
