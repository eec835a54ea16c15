// Lets a test decide when the program goes on, without touching the heap: stdio would allocate.
#pragma once
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
#define NOINLINE __attribute__((noinline, noclone))
#else
#define NOINLINE __attribute__((noinline, noipa))
#endif
// Ends a function whose last call must not become a jump.
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

static inline void say(const char *line) {
  if (write(1, line, strlen(line)) < 0)
    _exit(99);
}

// Says that it is ready and waits for a line; ends when there is none. Does nothing unless STEPS is set.
static inline void step(void) {
  char byte;
  if (!getenv("STEPS"))
    return;
  say("ready\n");
  do {
    if (read(0, &byte, 1) != 1)
      _exit(0);
  } while (byte != '\n');
}

// What a program expects of its own allocator; a test sees the exit code.
static inline void require(int condition, int code) {
  if (!condition)
    _exit(code);
}
