// Loaded before the C library into leaktrace (LD_PRELOAD): every pause of a process lasts 3 seconds longer. It waits before
// the first thread that was interrupted is let go, when leaktrace has done all that it does in a pause.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int has_interrupted;

long ptrace(enum __ptrace_request request, ...) {
  static long (*real)(enum __ptrace_request, pid_t, void *, void *);
  if (!real)
    real = (long (*)(enum __ptrace_request, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
  va_list list;
  va_start(list, request);
  pid_t thread = va_arg(list, pid_t);
  void *address = va_arg(list, void *);
  void *data = va_arg(list, void *);
  va_end(list);
  if (request == PTRACE_INTERRUPT)
    has_interrupted = 1;
  int lets_go = request == PTRACE_DETACH || request == PTRACE_CONT || request == PTRACE_LISTEN;
  if (lets_go && atomic_exchange(&has_interrupted, 0))
    sleep(3);
  return real(request, thread, address, data);
}
