#define _GNU_SOURCE
#include "CConfinement.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "which architecture the filter of system calls is for"
#endif

/// The user and group that nothing belongs to.
enum { NOBODY = 65534 };

pid_t cconfine_start(const char *path, const char *argument, int *connection) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
    return -errno;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // By way of numbers above all those that are opened here: descriptor 3 may be one of the two ends.
  int high = fcntl(ends[1], F_DUPFD_CLOEXEC, 16);
  // Where the root has no /dev, a file of its own: it can write nothing to it, nor to any other.
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0)
    null = memfd_create("null", MFD_CLOEXEC);
  int high_null = fcntl(null, F_DUPFD_CLOEXEC, 16);
  if (null >= 0)
    close(null);
  for (int descriptor = 0; descriptor < CCONFINE_CONNECTION; descriptor++)
    posix_spawn_file_actions_adddup2(&actions, high_null, descriptor);
  posix_spawn_file_actions_adddup2(&actions, high, CCONFINE_CONNECTION);
  posix_spawn_file_actions_addclosefrom_np(&actions, CCONFINE_CONNECTION + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Ctrl-C and the end of a service are for us: the reader ends with the connection.
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGXCPU);
  posix_spawnattr_setsigmask(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  char *arguments[] = {"leaktrace", (char *)argument, NULL};
  char *environment[] = {NULL};
  pid_t process = -1;
  int error =
      high < 0 || high_null < 0 ? EMFILE : posix_spawn(&process, path, &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (high >= 0)
    close(high);
  if (high_null >= 0)
    close(high_null);
  close(ends[1]);
  if (error) {
    close(ends[0]);
    return -error;
  }
  *connection = ends[0];
  return process;
}

static int limit(int resource, rlim_t value) {
  struct rlimit limit = {value, value};
  return setrlimit(resource, &limit) ? -errno : 0;
}

int cconfine_limit_memory(uint64_t more_bytes) {
  FILE *file = fopen("/proc/self/statm", "re");
  unsigned long pages = 0;
  int count = file ? fscanf(file, "%lu", &pages) : 0;
  if (file)
    fclose(file);
  if (count != 1)
    return -EIO;
  // The hard limit stays, so that what is mapped for files can be added.
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + more_bytes;
  return setrlimit(RLIMIT_AS, &limit) ? -errno : 0;
}

int cconfine_raise_memory_limit(uint64_t more_bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit))
    return -errno;
  if (limit.rlim_cur == RLIM_INFINITY)
    return 0;
  if (__builtin_add_overflow(limit.rlim_cur, more_bytes, &limit.rlim_cur))
    return -EOVERFLOW;
  return setrlimit(RLIMIT_AS, &limit) ? -errno : 0;
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int filter_system_calls(void) {
  // Neither open nor any other call that takes a name; neither a new process nor a socket, nor anything about other processes.
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(read),
      ALLOW(pread64),
      ALLOW(write),
      ALLOW(recvmsg),
      ALLOW(sendmsg),
      ALLOW(close),
      ALLOW(fstat),
      ALLOW(lseek),
      ALLOW(mmap),
      ALLOW(munmap),
      ALLOW(mprotect),
      ALLOW(mremap),
      ALLOW(madvise),
      ALLOW(brk),
      ALLOW(futex),
      ALLOW(clock_gettime),
      ALLOW(getrandom),
      ALLOW(getpid),
      ALLOW(gettid),
      ALLOW(getrlimit),
      ALLOW(setrlimit),
      ALLOW(rt_sigaction),
      ALLOW(rt_sigprocmask),
      ALLOW(rt_sigreturn),
      ALLOW(sched_yield),
      ALLOW(exit),
      ALLOW(exit_group),
      // Descriptors are duplicated; a file is read page by page, as its pages are touched.
      ALLOW(fcntl),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 6),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)UFFDIO_COPY, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)UFFDIO_ZEROPAGE, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)UFFDIO_REGISTER, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      // glibc asks for the status and the limits of this process by calls that take a name or a process; both are looked at.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prlimit64, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      // fstat is newfstatat with an empty name in newer versions. A name that is not empty is refused by the kernel for a
      // descriptor that is no directory, and there is none; the working directory is the descriptor AT_FDCWD.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_newfstatat, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)AT_FDCWD, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

static void drop_identity(void) {
  // First, because it takes a capability.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
    prctl(PR_CAPBSET_DROP, capability);
  // Fails where the process may not change its user, as in a service without that capability. It is left with a user whose files
  // it cannot open: it can open nothing.
  if (geteuid() == 0) {
    (void)!setgroups(0, NULL);
    (void)!setresgid(NOBODY, NOBODY, NOBODY);
    (void)!setresuid(NOBODY, NOBODY, NOBODY);
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}};
  syscall(SYS_capset, &header, none);
}

/// Where memory is short, the kernel is to end this process and not the one that traces.
static void offer_to_be_killed(void) {
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0)
    return;
  (void)!write(file, "1000", 4);
  close(file);
}

int cconfine_enter(uint64_t cpu_seconds) {
  offer_to_be_killed();
  prctl(PR_SET_NAME, "lt-reader");
  // Others of the same user may neither trace it nor read its memory.
  prctl(PR_SET_DUMPABLE, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, cpu_seconds);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NOFILE, 4096);
  limit(RLIMIT_NPROC, 0);
  drop_identity();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return -errno;
  return filter_system_calls();
}

int cconfine_send(int connection, const void *bytes, size_t count, const int *descriptors, int descriptor_count) {
  union {
    char space[CMSG_SPACE(4 * sizeof(int))];
    struct cmsghdr alignment;
  } control;
  const char *rest = bytes;
  while (count > 0) {
    struct iovec part = {(void *)rest, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > 0 && descriptor_count <= 4) {
      memset(&control, 0, sizeof control);
      message.msg_control = control.space;
      message.msg_controllen = CMSG_SPACE((size_t)descriptor_count * sizeof(int));
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN((size_t)descriptor_count * sizeof(int));
      memcpy(CMSG_DATA(header), descriptors, (size_t)descriptor_count * sizeof(int));
    }
    ssize_t sent = sendmsg(connection, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0)
      return -errno;
    descriptor_count = 0;
    rest += sent;
    count -= (size_t)sent;
  }
  return 0;
}

long cconfine_receive(int connection, void *bytes, size_t count, int *descriptors, int capacity,
                      int *descriptor_count) {
  union {
    char space[CMSG_SPACE(4 * sizeof(int))];
    struct cmsghdr alignment;
  } control;
  struct iovec part = {bytes, count};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t received;
  do
    received = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  *descriptor_count = 0;
  if (received < 0)
    return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
      continue;
    size_t sent = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < sent; index++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof descriptor);
      if (*descriptor_count < capacity)
        descriptors[(*descriptor_count)++] = descriptor;
      else
        close(descriptor);
    }
  }
  return received;
}
