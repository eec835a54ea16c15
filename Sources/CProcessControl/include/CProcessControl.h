// Starting a program stopped at its first instruction, and descriptors for signals and processes.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CProcessTracing.h"
#include "CTerminal.h"

#pragma clang assume_nonnull begin

// Starts `path`, seized by the calling thread; it is stopped at its first instruction when this returns, and goes when the
// caller does. The program's signal mask and dispositions are the defaults. Returns the process id or −errno of what failed.
pid_t cprocess_spawn_stopped(const char *path, char *_Nullable const *_Nonnull argv,
                             char *_Nullable const *_Nonnull envp);

// Lets a stopped tracee run to its next system call boundary, passing it `signal`. 0 or −errno.
int cprocess_continue_to_syscall(pid_t process, int signal);

// Lets a stopped tracee go for good, passing it `signal`. 0 or −errno.
int cprocess_detach(pid_t process, int signal);

// Process-wide descriptors for signals and processes. −errno on failure.
int cprocess_signal_descriptor(const int *signals, int count);
int cprocess_open_process(pid_t process);
// Before Linux 6.9 only for the first thread of a process; others give −EINVAL or −ENOENT.
int cprocess_open_thread(pid_t thread);

// Reads one pending signal's number from a signal descriptor; 0 when there is none.
int cprocess_next_signal(int descriptor);

// Starts a process that shares the caller's descriptors and ends when the caller has ended. The kernel cannot always take
// uprobes off while it closes the descriptors of a process that is being killed (a pending SIGKILL interrupts it), and
// would leave breakpoints behind; the guardian closes them in peace. Call before there are threads. 0 or −errno.
int cprocess_start_guardian(void);

// A file in memory that holds `bytes`, open at its beginning, and not in programs that are started without being given it.
// Its descriptor or −errno.
int cprocess_make_memory_file(const void *bytes, size_t count);

#pragma clang assume_nonnull end
