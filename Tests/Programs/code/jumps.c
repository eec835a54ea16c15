// Calls into an allocator that are left by a jump: the program brings its own malloc, which can be interrupted at will.
// The signal handler jumps out of it, the call never returns, and later calls must be counted as ever.
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>

#include "../steps.h"

static alignas(16) char arena[1 << 20];
static size_t used;
static volatile int interrupts;
static sigjmp_buf target;
static void *volatile kept;

NOINLINE void *malloc(size_t size) {
  void *block = arena + used;
  used += (size + 15) / 16 * 16;
  if (interrupts)
    raise(SIGUSR1);
  return block;
}

NOINLINE void free(void *block) { (void)block; KEEP_FRAME(); }

static void leave(int number) {
  (void)number;
  siglongjmp(target, 1);
}

NOINLINE static void interrupted(size_t size) {
  interrupts = 1;
  if (sigsetjmp(target, 1) == 0) {
    kept = malloc(size);
    _exit(10);
  }
  interrupts = 0;
}

// From a frame deeper on the stack than the call that was left.
NOINLINE static void deeper(size_t size, int depth) {
  char room[256];
  memset(room, depth, sizeof(room));
  __asm__ volatile("" ::"r"(room) : "memory");
  if (depth > 0)
    deeper(size, depth - 1);
  else
    kept = malloc(size);
  KEEP_FRAME();
}

NOINLINE static void case_again_from_the_same_frame(void) {
  for (int i = 0; i < 10; i++) {
    interrupted(1000);
    kept = malloc(10);
  }
}

NOINLINE static void case_deeper(void) {
  for (int i = 0; i < 10; i++) {
    interrupted(1000);
    deeper(11, 5);
  }
}

NOINLINE static void case_freed(void) {
  for (int i = 0; i < 10; i++) {
    interrupted(1000);
    void *volatile block = malloc(12);
    free(block);
  }
}

// Many times in a row, and nothing but one block after it.
NOINLINE static void case_many(void) {
  for (int i = 0; i < 70; i++)
    interrupted(1000);
  kept = malloc(13);
}

int main(void) {
  struct sigaction action = {.sa_handler = leave};
  sigaction(SIGUSR1, &action, NULL);
  step();
  case_again_from_the_same_frame();
  case_deeper();
  case_freed();
  case_many();
  step();
  return 0;
}
