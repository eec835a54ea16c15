// Starts a process that reads hostile files, takes away what it does not need for that, and passes descriptors to it.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// The descriptor on which a started process finds its end of the connection.
enum { CCONFINE_CONNECTION = 3 };

// Starts the program `path` with one argument. The new process has no environment, the null device for its standard
// descriptors, its end of a connection, and nothing else of ours open. Gives our end of the connection. Returns the process id
// or −errno.
pid_t cconfine_start(const char *path, const char *argument, int *connection);

// Takes from the calling process, for good, all that a reader of files does not need: its capabilities, its user and groups
// where it may change them, new programs and files, and every system call but those that read and write what is open, map
// memory and end. No core is written, and it ends after `cpu_seconds` of CPU. Returns 0 or −errno of what is indispensable: that
// no privileges can be gained, and the filter of system calls.
int cconfine_enter(uint64_t cpu_seconds);

// Lets the calling process map so many bytes more than it has mapped now; called before `cconfine_enter`.
int cconfine_limit_memory(uint64_t more_bytes);

// Raises that limit, for a file that is mapped and takes no memory.
int cconfine_raise_memory_limit(uint64_t more_bytes);

// Sends all bytes, with up to 4 descriptors beside the first of them. Returns 0 or −errno. Never raises SIGPIPE.
int cconfine_send(int connection, const void *bytes, size_t count, const int *_Nullable descriptors,
                  int descriptor_count);

// Receives up to `count` bytes, and descriptors that came with them, which are closed on exec. Returns the number of bytes, 0 at
// the end, or −errno.
long cconfine_receive(int connection, void *bytes, size_t count, int *_Nonnull descriptors, int capacity,
                      int *_Nonnull descriptor_count);

#pragma clang assume_nonnull end
