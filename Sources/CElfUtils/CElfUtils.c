// Files and memory of other processes: see include/CElfUtils.h.
#define _GNU_SOURCE
#include "CElfUtils.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/// Opens for reading what an O_PATH descriptor, which it closes, refers to, if that is a regular file. O_PATH has no side
/// effect, so the kind of file is known before anything is opened for real.
static int celf_open_regular(int place, int *out) {
  if (place < 0)
    return -errno;
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
  // O_NONBLOCK also keeps us from waiting for the holder of a lease.
  int descriptor = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  int code = errno;
  close(place);
  if (descriptor < 0)
    return -code;
  *out = descriptor;
  return 0;
}

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
  int code = errno;
  close(directory);
  errno = code;
  return celf_open_regular(place, out);
}

int celf_open_link(const char *link, int *out) {
  *out = -1;
  return celf_open_regular(open(link, O_PATH | O_CLOEXEC), out);
}

long celf_read_process(int process, uint64_t address, void *destination, size_t size) {
  struct iovec local = {destination, size};
  struct iovec remote = {(void *)(uintptr_t)address, size};
  ssize_t count = process_vm_readv(process, &local, 1, &remote, 1, 0);
  return count < 0 ? -errno : count;
}

void celf_return_freed_memory(void) { malloc_trim(0); }

ptrdiff_t celf_find(const void *bytes, size_t size, const void *wanted, size_t wanted_size) {
  const char *place = memmem(bytes, size, wanted, wanted_size);
  return place ? place - (const char *)bytes : -1;
}
