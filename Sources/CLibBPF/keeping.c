// How links live and end. The kernel takes a link's breakpoints off in the process that lets go of it last, and while that
// process is being killed it may fail to: then breakpoints stay, and the kernel log says "leaking uprobe". One after the other
// that also takes 40 ms a link. So links of uprobes are kept by a file system of the kernel's own (bpf) that is mounted
// nowhere and that goes with its last descriptor. What it lets go of the kernel takes off by its own workers: many at a time,
// and they cannot be killed.
#define _GNU_SOURCE
#include "CLibBPF.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CREATE_FILE_SYSTEM = 6 /* FSCONFIG_CMD_CREATE */, CLOSE_ON_EXEC = 1 /* FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC */ };

static pthread_once_t mount_once = PTHREAD_ONCE_INIT;
static int mounted = -1;

static void make_mount(void) {
  long context = syscall(SYS_fsopen, "bpf", CLOSE_ON_EXEC);
  if (context < 0)
    return;
  if (syscall(SYS_fsconfig, context, CREATE_FILE_SYSTEM, NULL, NULL, 0) == 0)
    mounted = (int)syscall(SYS_fsmount, context, CLOSE_ON_EXEC, 0);
  close((int)context);
}

static void path_of(uint64_t number, char path[64]) {
  snprintf(path, 64, "/proc/self/fd/%d/%llu", mounted, (unsigned long long)number);
}

uint64_t clibbpf_keep(int link) {
  static uint64_t last;
  pthread_once(&mount_once, make_mount);
  if (mounted < 0)
    return 0;
  uint64_t number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
  char path[64];
  path_of(number, path);
  if (bpf_obj_pin(link, path))
    return 0;
  close(link);
  return number;
}

void clibbpf_let_go(uint64_t number) {
  char path[64];
  path_of(number, path);
  unlink(path);
}

uint32_t clibbpf_link_id(int link) {
  struct bpf_link_info info = {0};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(link, &info, &size) ? 0 : info.id;
}

_Bool clibbpf_link_exists(uint32_t id) {
  uint32_t next = 0;
  return id && bpf_link_get_next_id(id - 1, &next) == 0 && next == id;
}

static int end_at_once(void *unused) {
  (void)unused;
  return 0;
}

int clibbpf_link_uprobes_nowhere(int program, uint32_t attach_type, const char *path, const uint64_t *offsets,
                                 const uint64_t *cookies, uint32_t count) {
  enum { STACK_BYTES = 16 << 10 };
  char *stack = aligned_alloc(16, STACK_BYTES);
  if (!stack)
    return -ENOMEM;
  // No signal tells of its end, so nobody else waits for it, and it is there until it is waited for below.
  pid_t ended = clone(end_at_once, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK, NULL);
  int result = -errno;
  if (ended > 0) {
    siginfo_t info;
    waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT | __WALL);
    result = clibbpf_link_uprobes(program, attach_type, path, offsets, cookies, count, 0, (uint32_t)ended);
    waitpid(ended, NULL, __WALL);
  }
  free(stack);
  return result;
}

// ---- Descriptors that are not kept by the file system ---------------------------------------------------------------
// They are closed by several threads, so that the kernel's waits for them pass together.
enum { CLOSERS = 16 };

static pthread_mutex_t closing_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t closing_changed = PTHREAD_COND_INITIALIZER;
static int *closing;
static size_t closing_count, closing_capacity;
static size_t closers, busy_closers;

static void *close_all(void *unused) {
  (void)unused;
  // Signals are for the threads that wait for them: SIGCHLD would be lost here.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  pthread_mutex_lock(&closing_lock);
  for (;;) {
    while (closing_count == 0)
      pthread_cond_wait(&closing_changed, &closing_lock);
    int descriptor = closing[--closing_count];
    busy_closers++;
    pthread_mutex_unlock(&closing_lock);
    close(descriptor);
    pthread_mutex_lock(&closing_lock);
    busy_closers--;
    if (closing_count == 0 && busy_closers == 0)
      pthread_cond_broadcast(&closing_changed);
  }
}

void clibbpf_close_in_background(int descriptor) {
  pthread_mutex_lock(&closing_lock);
  if (closers < CLOSERS && closing_count + busy_closers >= closers) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_all, NULL) == 0) {
      pthread_detach(thread);
      closers++;
    }
  }
  bool queued = closers > 0;
  if (queued && closing_count == closing_capacity) {
    size_t capacity = closing_capacity ? closing_capacity * 2 : 64;
    int *grown = realloc(closing, capacity * sizeof(int));
    if (grown) {
      closing = grown;
      closing_capacity = capacity;
    } else {
      queued = false;
    }
  }
  if (queued) {
    closing[closing_count++] = descriptor;
    pthread_cond_broadcast(&closing_changed);
  }
  pthread_mutex_unlock(&closing_lock);
  if (!queued)
    close(descriptor);
}

bool clibbpf_finish_closing(uint32_t milliseconds) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += milliseconds / 1000;
  end.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (end.tv_nsec >= 1000000000) {
    end.tv_sec++;
    end.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&closing_lock);
  int error = 0;
  while (error == 0 && (closing_count > 0 || busy_closers > 0))
    error = pthread_cond_timedwait(&closing_changed, &closing_lock, &end);
  bool is_done = closing_count == 0 && busy_closers == 0;
  pthread_mutex_unlock(&closing_lock);
  return is_done;
}
