// System calls made by a stopped thread of another process, and writing to its memory. The calling thread must be its tracer,
// as for CProcessTracing.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// Has a stopped thread make a system call by the instruction at `instruction`, with all signals but SIGKILL and SIGSTOP held
// back. The thread was seized with CPROCESS_MARK_SYSCALLS. Its registers are as before afterwards; it stands behind a system
// call, see cprocess_settle. `result` is what the call returned. Returns 0 or −errno: −ESRCH when the thread ended.
int cprocess_call(pid_t thread, uint64_t instruction, int64_t number, const uint64_t arguments[_Nonnull 6],
                  int64_t *result);

// Brings a thread that has made calls to a stop of the kind that cprocess_interrupt brings about: in it the kernel restarts
// the system call that the first stop interrupted. The thread runs no instruction of its program meanwhile.
int cprocess_settle(pid_t thread);

// Lets a thread that was started by us and stands at a system call, or behind its execve, run until that call is over. Returns 0
// or −errno.
int cprocess_get_behind_call(pid_t thread);

// Whether a stopped thread is in the middle of a restartable sequence (rseq), out of which it must not be led.
bool cprocess_is_in_sequence(pid_t thread);

// Writes to memory of a stopped thread's process, also where the process itself may not write. Returns 0 or −errno.
int cprocess_poke(pid_t thread, uint64_t address, const uint8_t *bytes, size_t count);

// Makes a file in memory, of one's own descriptor, unchangeable. Returns 0 or −errno.
int cprocess_seal(int descriptor);
bool cprocess_is_sealed(int descriptor);

#pragma clang assume_nonnull end
