// Frames of all shapes: recursion, large and variable frames, realigned stacks, threads, signals.
#define _GNU_SOURCE
#include <alloca.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "phases.h"

#define FUNCTION __attribute__((noinline, noclone))

FUNCTION static void recurse(int depth) {
  if (depth > 0)
    recurse(depth - 1);
  else
    checkpoint();
  AFTER_CALL();
}

FUNCTION static void shallow_recursion(void) {
  recurse(3);
  AFTER_CALL();
}

FUNCTION static void deep_recursion(void) {
  recurse(100);
  AFTER_CALL();
}

FUNCTION static void too_deep_recursion(void) {
  recurse(300);
  AFTER_CALL();
}

FUNCTION static void large_frame(int depth) {
  char buffer[50000];
  __asm__ volatile("" ::"r"(buffer) : "memory");
  if (depth > 0)
    large_frame(depth - 1);
  else
    recurse(1);
  __asm__ volatile("" ::"r"(buffer) : "memory");
}

FUNCTION static void large_frames(void) {
  large_frame(4);
  AFTER_CALL();
}

FUNCTION static void variable_frame(size_t size) {
  char *memory = alloca(size);
  memset(memory, 1, size);
  __asm__ volatile("" ::"r"(memory) : "memory");
  if (size > 100)
    variable_frame(size / 3);
  else
    recurse(1);
  __asm__ volatile("" ::"r"(memory) : "memory");
}

FUNCTION static void variable_frames(void) {
  variable_frame(20000);
  AFTER_CALL();
}

__attribute__((noinline, noclone, target("avx"))) static void realigned_frame(int size) {
  __m256 vector[2];
  char *memory = alloca(size);
  memset(vector, 1, sizeof(vector));
  memset(memory, 2, size);
  __asm__ volatile("" ::"r"(memory), "r"(vector) : "memory");
  recurse(1);
  __asm__ volatile("" ::"r"(memory), "r"(vector) : "memory");
}

FUNCTION static void realigned_frames(void) {
  realigned_frame(1000);
  AFTER_CALL();
}

static void *thread_main(void *argument) {
  recurse(*(int *)argument);
  AFTER_CALL();
  return NULL;
}

FUNCTION static void in_a_thread(void) {
  pthread_t thread;
  int depth = 5;
  pthread_create(&thread, NULL, thread_main, &depth);
  pthread_join(thread, NULL);
}

static void handler(int number) {
  (void)number;
  recurse(2);
  AFTER_CALL();
}

FUNCTION static void raise_signal(void) {
  signal(SIGUSR1, handler);
  raise(SIGUSR1);
  AFTER_CALL();
}

FUNCTION static void raise_on_other_stack(void) {
  static char memory[65536];
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR2, &action, NULL);
  raise(SIGUSR2);
  AFTER_CALL();
}

// Interrupted at its first instruction: looked up one byte before, it would be in a function with another frame.
void interrupted_at_entry(void);
__asm__(
    ".text\n.type decoy,@function\ndecoy:\n.cfi_startproc\n.cfi_def_cfa_offset 64\nnop\n.cfi_endproc\n"
    ".size decoy, .-decoy\n"
    ".type interrupted_at_entry,@function\ninterrupted_at_entry:\n.cfi_startproc\nud2\nret\n.cfi_endproc\n"
    ".size interrupted_at_entry, .-interrupted_at_entry\n");

static void skip_instruction(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  recurse(1);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

FUNCTION static void interrupt(void) {
  struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
  sigaction(SIGILL, &action, NULL);
  interrupted_at_entry();
  AFTER_CALL();
}

int main(void) {
  static void (*const phases[])(void) = {shallow_recursion, deep_recursion, too_deep_recursion, large_frames,
                                         variable_frames,   realigned_frames, in_a_thread,       raise_signal,
                                         raise_on_other_stack, interrupt};
  return run_phases(phases, sizeof(phases) / sizeof(phases[0]));
}
