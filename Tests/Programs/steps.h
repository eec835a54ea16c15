// Lets a test decide when the program goes on, without touching the heap: stdio would allocate.
#pragma once
#include <fcntl.h>
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

// The state of one of our threads as the kernel shows it: R, S, D, Z, …; 0 when it is gone. Without touching the heap.
static inline char thread_state(int thread_id) {
  char path[64] = "/proc/self/task/", digits[12], text[256];
  size_t end = strlen(path), count = 0;
  for (int rest = thread_id; rest; rest /= 10)
    digits[count++] = (char)('0' + rest % 10);
  while (count)
    path[end++] = digits[--count];
  memcpy(path + end, "/stat", sizeof("/stat"));
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  ssize_t length = read(file, text, sizeof(text) - 1);
  close(file);
  if (length <= 0)
    return 0;
  text[length] = 0;
  char *name_end = strrchr(text, ')');
  return name_end && name_end[1] ? name_end[2] : 0;
}

// What a program expects of its own allocator; a test sees the exit code.
static inline void require(int condition, int code) {
  if (!condition)
    _exit(code);
}
