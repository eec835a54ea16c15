// ptrace of single threads by PTRACE_SEIZE, which neither stops them nor sends them signals. Every function here must be
// called by the thread that seized: the kernel knows a tracer by its thread, not by its process.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

enum {
  CPROCESS_REPORT_EXIT = 1,    // stop when the thread begins to exit
  CPROCESS_REPORT_EXEC = 2,    // stop behind execve
  CPROCESS_REPORT_CLONE = 4,   // seize new threads of its process as well
  CPROCESS_KILL_WITH_US = 8,   // the process goes when the tracer does
  CPROCESS_MARK_SYSCALLS = 16  // 0x80 in the signal of system call stops
};

// Becomes the tracer of a thread, which runs on. `report`: the flags above. 0 or −errno.
int cprocess_seize(pid_t thread, int report);
int cprocess_set_report(pid_t thread, int report);

// The calling thread, as the kernel names the tracer of another.
pid_t cprocess_own_thread(void);

// Asks a seized thread to stop. 0 or −errno.
int cprocess_interrupt(pid_t thread);

enum cprocess_stop_kind {
  CPROCESS_NO_NEWS = 0,  // nothing has happened, or no such child
  CPROCESS_STOPPED,      // because it was asked to, or has just been created
  CPROCESS_JOB_STOPPED,  // by a stop signal (`signal`) to its process
  CPROCESS_SIGNALLED,    // about to receive `signal`, which whoever resumes it must pass on
  CPROCESS_AT_SYSCALL,
  CPROCESS_EXECUTED,  // behind execve
  CPROCESS_EXITING,   // its memory and registers are still there
  CPROCESS_CLONED,    // has made a thread, which is seized too
  CPROCESS_ENDED      // `status` is what wait() gives
};

typedef struct {
  pid_t thread;
  enum cprocess_stop_kind kind;
  int signal;
  int status;
} cprocess_stop;

// News of a seized thread or child of the calling thread; −1: of any. Without `waits` it returns at once. 0 or −errno.
int cprocess_next_stop(pid_t thread, bool waits, cprocess_stop *out);

// Lets a stopped thread run on, traced as before, passing it `signal`.
int cprocess_resume(pid_t thread, int signal);
// Leaves it in the stop that a signal to its process has caused, until that ends.
int cprocess_stay_stopped(pid_t thread);

// At least as many as any processor has.
#define CPROCESS_MOST_REGISTERS 40

typedef struct {
  uint64_t values[CPROCESS_MOST_REGISTERS];  // all that may hold a pointer, in no order; 0 where there is none
  uint64_t stack_pointer;
  uint64_t instruction_pointer;
  uint64_t thread_base;  // the address of the thread's control block
  int64_t system_call;   // number of the system call that it is in, or −1
} cprocess_registers;

int cprocess_read_registers(pid_t thread, cprocess_registers *out);

// The vector and floating-point registers as 8-byte words, without what they hold beside values (control words, addresses
// of instructions). Returns how many words were stored or −errno.
ptrdiff_t cprocess_read_vector_registers(pid_t thread, uint64_t *words, size_t capacity);

typedef struct {
  uint64_t instruction_pointer;
  uint64_t stack_pointer;
  int64_t number;  // of the system call; negative when it is in none
  uint64_t arguments[6];
  int64_t result;
} cprocess_syscall;

// The system call that a stopped thread is in. 0 or −errno.
int cprocess_read_syscall(pid_t thread, cprocess_syscall *out);

// Makes the system call that a stopped thread is in begin anew when it runs again. Should the handler of a signal run before,
// the call returns EINTR instead. 0 or −errno.
int cprocess_restart_call(pid_t thread);

// Sets what the interrupted system call returns. 0 or −errno.
int cprocess_set_result(pid_t thread, int64_t result);

// Exit code of a thread at CPROCESS_EXITING in the form of wait(), by `status`. 0 or −errno.
int cprocess_exit_message(pid_t thread, int *status);

#pragma clang assume_nonnull end
