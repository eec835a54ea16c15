// libbpf, and the few calls that libbpf 1.1.2 or Swift's importer lack.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// Attach types newer than Debian 12's headers.
enum {
  CLIBBPF_TRACE_UPROBE_MULTI = 48,
  CLIBBPF_TRACE_UPROBE_SESSION = 57,
};

// Keeps libbpf's messages in a buffer instead of writing them to standard error.
void clibbpf_capture_log(void);
// Copies what was captured since the last call into `out` (always terminated) and empties the buffer.
size_t clibbpf_take_log(char *out, size_t capacity);

// Links one program to many places of one file. `process_id` 0 means every process. Returns a link descriptor or −errno.
int clibbpf_link_uprobes(int program, uint32_t attach_type, const char *path, const uint64_t *offsets,
                         const uint64_t *cookies, uint32_t count, uint32_t flags, uint32_t process_id);

// Opens a perf event on one place of one file, in one process (−1: every process). Returns a descriptor or −errno.
int clibbpf_perf_uprobe(const char *path, uint64_t offset, int process_id, _Bool is_return);

// Links a program to a perf event, with a cookie. Returns a link descriptor or −errno.
int clibbpf_link_perf(int program, int perf_event, uint64_t cookie);

// Whether the kernel was built with kprobes.
_Bool clibbpf_has_kprobes(void);

// Opens a perf event on the entry or the return of a kernel function. Returns a descriptor or −errno: ENODEV where the
// kernel has no kprobes, ENOENT where it has no such function.
int clibbpf_perf_kprobe(const char *function, _Bool is_return);

// What a raw tracepoint gives to programs, by the running kernel's own type information: bit i of the result is set when
// argument i is a pointer. `count` becomes the number of arguments. Returns −ENOENT when there is no such tracepoint.
int64_t clibbpf_tracepoint_pointers(const char *tracepoint, uint32_t *count);

// How often the kernel left a program out because it was running on the same CPU already, or −errno.
int64_t clibbpf_recursion_misses(int program);

// Opens one run of an iterator program over one task: reading from the descriptor, which is returned, or −errno (EINVAL,
// E2BIG: Linux before 6.1), runs it and yields what it writes.
int clibbpf_open_task_iterator(int program, uint32_t thread_id);

// Lets the program be loaded with an attach type that libbpf does not know by section name.
int clibbpf_set_attach_type(struct bpf_program *program, uint32_t attach_type);

// Whether programs on uprobes may call a helper (enum bpf_func_id). False also where that cannot be found out.
_Bool clibbpf_has_helper(uint32_t helper);

// Waits for an RCU grace period: every non-sleepable program that ran at the call has ended. Returns 0 or −errno.
int clibbpf_synchronize_rcu(void);

// Gives a link into the keeping of a file system that is mounted nowhere, and closes its descriptor. The link ends with
// clibbpf_let_go, or with this process and all that share its descriptors, and the kernel's own workers take it off. Returns
// its number, or 0 where that cannot be done: then the descriptor is as it was.
uint64_t clibbpf_keep(int link);
// Ends a link that is kept. Does not wait.
void clibbpf_let_go(uint64_t number);
// The kernel's number of a link, and whether there is still one of that number. 0 is none.
uint32_t clibbpf_link_id(int link);
_Bool clibbpf_link_exists(uint32_t id);

// Links one program to many places of one file, in a process that has ended already: nothing is probed. But when that link
// ends, the kernel looks at these places everywhere and takes off what no other link wants, also what the end of another
// link has left because it failed. Returns a link descriptor or −errno.
int clibbpf_link_uprobes_nowhere(int program, uint32_t attach_type, const char *path, const uint64_t *offsets,
                                 const uint64_t *cookies, uint32_t count);

// Closes a link descriptor on a thread of its own: taking a uprobe off waits for every program that is running.
void clibbpf_close_in_background(int descriptor);
// Waits until every descriptor given so far is closed, but not for longer than that. Returns whether they are.
_Bool clibbpf_finish_closing(uint32_t milliseconds);

#pragma clang assume_nonnull end
