// ptrace of single threads by PTRACE_SEIZE, which neither stops them nor sends them a signal. Every function here has
// to be called by the thread that seized them, because to the kernel a tracer is a thread and not a process.
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

// Makes the calling thread the tracer of a thread, which runs on. `report` is a set of the flags above. Returns 0 or
// −errno.
int cprocess_seize(pid_t thread, int report);
int cprocess_set_report(pid_t thread, int report);

// The id of the calling thread. The kernel shows this number as the tracer of a traced thread.
pid_t cprocess_own_thread(void);

// Asks a seized thread to stop. Returns 0 or −errno.
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

// Gets news of a seized thread or child of the calling thread, or of any of them if `thread` is −1. Returns at once
// unless `waits` is true. Returns 0 or −errno.
int cprocess_next_stop(pid_t thread, bool waits, cprocess_stop *out);

// Lets a stopped thread run on, still traced, and passes `signal` to it.
int cprocess_resume(pid_t thread, int signal);
// Leaves the thread in the stop that a stop signal to its process has caused, until that stop ends.
int cprocess_stay_stopped(pid_t thread);

// At least as many as any processor has.
#define CPROCESS_MOST_REGISTERS 40

typedef struct {
  uint64_t values[CPROCESS_MOST_REGISTERS];  // all that may hold a pointer, in no order; 0 where there is none
  uint64_t stack_pointer;
  uint64_t frame_pointer;
  uint64_t instruction_pointer;
  uint64_t thread_base;  // the address of the thread's control block
  int64_t system_call;   // number of the system call that it is in, or −1
} cprocess_registers;

int cprocess_read_registers(pid_t thread, cprocess_registers *out);

// Reads the vector and floating-point registers as 8-byte words. Whatever is no value of a register is left out
// (control words, addresses of instructions), and so are words that are 0. Returns the number of words stored, or
// −errno.
ptrdiff_t cprocess_read_vector_registers(pid_t thread, uint64_t *words, size_t capacity);

typedef struct {
  uint64_t instruction_pointer;
  uint64_t stack_pointer;
  int64_t number;  // of the system call; negative when it is in none
  uint64_t arguments[6];
  int64_t result;
} cprocess_syscall;

// Reads which system call a stopped thread is in. Returns 0 or −errno.
int cprocess_read_syscall(pid_t thread, cprocess_syscall *out);

// Makes a stopped thread begin its system call anew when it runs again. If a signal handler runs before that, the call
// returns EINTR instead. Returns 0 or −errno.
int cprocess_restart_call(pid_t thread);

// Sets what the interrupted system call of a stopped thread returns. Returns 0 or −errno.
int cprocess_set_result(pid_t thread, int64_t result);

// Reads the exit code of a thread that is at CPROCESS_EXITING into `status`, in the form that wait() uses. Returns 0 or
// −errno.
int cprocess_exit_message(pid_t thread, int *status);

#pragma clang assume_nonnull end
