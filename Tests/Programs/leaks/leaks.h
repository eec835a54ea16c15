// What the programs of this directory share. Each is run with the names of its cases, or `all` for those that can share
// a process; `-NAME` leaves one out. A case is a function `case_NAME`; what it allocates in threads or handlers comes
// from functions named `case_NAME__SOMETHING`, so that a stack tells the case. The comment of a case says what becomes
// of its blocks.
#pragma once
#include <stdint.h>
#include <stdio.h>

#include "../steps.h"

#ifdef __cplusplus
#define LEAK_CASE(name) NOINLINE static void case_##name()
#else
#define LEAK_CASE(name) NOINLINE static void case_##name(void)
#endif

// A root: a word of the program's data that the compiler leaves alone.
typedef void *volatile Root;

// A block without old contents, allocated by the function that this is inlined into.
static inline __attribute__((always_inline)) void *block(size_t size) {
  char *volatile bytes = (char *)malloc(size);
  char *result = bytes;
  bytes = NULL;
  for (size_t i = 0; i < size; i++)
    ((volatile char *)result)[i] = 0;
  return result;
}

// Stores into and loads from a block, out of the compiler's sight.
static inline void put(void *object, size_t offset, const void *value) {
  *(const void *volatile *)((char *)object + offset) = value;
}
static inline void *get(void *object, size_t offset) { return *(void *volatile *)((char *)object + offset); }

// Below the frame of the caller nothing is left of what ran before.
__attribute__((unused)) NOINLINE static void wipe_stack(void) {
  volatile char waste[64 * 1024];
  for (size_t i = 0; i < sizeof waste; i++)
    waste[i] = 0;
  KEEP_FRAME();
}

// Nor in the registers that a call preserves or passes arguments in.
static inline __attribute__((always_inline)) void wipe_registers(void) {
  __asm__ volatile("xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\txor %%esi, %%esi\n\t"
                   "xor %%edi, %%edi\n\txor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\t"
                   "xor %%r11d, %%r11d\n\txor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\t"
                   "xor %%r14d, %%r14d\n\txor %%r15d, %%r15d\n\t"
                   "pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3"
                   ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "rbx", "r12", "r13", "r14",
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "memory", "cc");
}

struct leak_case {
  const char *name;
  void (*function)(void);
  // Not among `all`: it ends the process in its own way, or needs it for itself.
  int alone;
};
#define CASE_ENTRY(name) {#name, case_##name, 0}
#define CASE_ALONE(name) {#name, case_##name, 1}

// The cases yet to run.
static const struct leak_case *leak_cases;
static size_t leak_case_count, leak_case_next;
static char **leak_case_names;

static int is_wanted(const struct leak_case *entry) {
  int wanted = 0;
  for (char **name = leak_case_names; *name; name++) {
    if (strcmp(*name, entry->name) == 0 || (!entry->alone && strcmp(*name, "all") == 0))
      wanted = 1;
    if (**name == '-' && strcmp(*name + 1, entry->name) == 0)
      return 0;
  }
  return wanted;
}

// Runs the cases that are left and ends the process; a case whose frame must live until then calls it.
__attribute__((unused, noreturn, noinline)) static void proceed(void) {
  while (leak_case_next < leak_case_count) {
    const struct leak_case *entry = &leak_cases[leak_case_next++];
    if (is_wanted(entry))
      entry->function();
    wipe_stack();
    wipe_registers();
  }
  step();
  exit(0);
}

static inline void run_cases(const struct leak_case *cases, size_t count, char **argv) {
  leak_cases = cases;
  leak_case_count = count;
  leak_case_names = argv + 1;
  step();
  proceed();
}
#define RUN_CASES(cases, argv) run_cases(cases, sizeof(cases) / sizeof *(cases), argv)
