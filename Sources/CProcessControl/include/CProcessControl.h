// Starts a program that is stopped at its first instruction; opens descriptors for signals and processes; starts the
// guardian.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CProcessCalls.h"
#include "CProcessTracing.h"
#include "CTerminal.h"

#pragma clang assume_nonnull begin

// Starts the program `path`, seized by the calling thread. When this returns, the program is stopped at its first
// instruction. It is killed if the caller ends. Its signal mask and signal dispositions are the defaults. Returns the
// process id, or −errno of the step that failed.
pid_t cprocess_spawn_stopped(const char *path, char *_Nullable const *_Nonnull argv,
                             char *_Nullable const *_Nonnull envp);

// Lets a stopped tracee run until it next enters or leaves a system call, and passes `signal` to it. Returns 0 or
// −errno.
int cprocess_continue_to_syscall(pid_t process, int signal);

// Lets a stopped tracee go on without being traced any more, and passes `signal` to it. Returns 0 or −errno.
int cprocess_detach(pid_t process, int signal);

// Descriptors for signals and processes, which every thread of this process can use. Return −errno on failure.
int cprocess_signal_descriptor(const int *signals, int count);
int cprocess_open_process(pid_t process);
// Before Linux 6.9 this works only for the first thread of a process; for other threads it returns −EINVAL or −ENOENT.
int cprocess_open_thread(pid_t thread);

// Reads the number of one pending signal from a signal descriptor. Returns 0 when no signal is pending.
int cprocess_next_signal(int descriptor);

// Starts a thread that watches over the signals SIGINT and SIGTERM of a signal descriptor: one that nobody has read for a second
// is mentioned on standard error, and after 20 seconds the process ends as if by that signal. Returns 0 or −errno.
int cprocess_hear_signals(int descriptor);

// Starts the guardian: a process that shares the caller's descriptors and ends when the caller has ended. While the
// kernel closes the descriptors of a process that is being killed, the pending SIGKILL can keep it from removing
// uprobes, and breakpoints would be left behind. The guardian holds the same descriptors, and is not interrupted when
// it closes them. Has to be called before there are threads. Returns 0 or −errno.
int cprocess_start_guardian(void);

// Makes a file in memory that contains `bytes` and is open at its beginning. Programs that are started do not inherit
// it unless it is passed on to them. Returns its descriptor or −errno.
int cprocess_make_memory_file(const void *bytes, size_t count);

#pragma clang assume_nonnull end
