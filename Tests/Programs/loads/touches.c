// Touches new pages for ever: 48 a round by filling memory, 16 by having the kernel fill it, and those of a file again and
// again. Walking frame pointers finds none of the callers: it is built without them.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "../steps.h"

enum { PAGE = 4096, FILLED = 48, READ = 16, LOOKED_AT = 4 };

static char *fresh(size_t pages) {
  char *memory = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    _exit(1);
  return memory;
}

NOINLINE void grow_by_filling(void) {
  volatile char *memory = fresh(FILLED);
  for (size_t page = 0; page < FILLED; page++)
    memory[page * PAGE] = 1;
  KEEP_FRAME();
}

NOINLINE void grow_by_reading(int zeros) {
  if (read(zeros, fresh(READ), READ * PAGE) != READ * PAGE)
    _exit(2);
  KEEP_FRAME();
}

NOINLINE int look_at_file(volatile char *file) {
  int sum = 0;
  // The kernel forgets that they are mapped, so that they are met again.
  madvise((void *)file, LOOKED_AT * PAGE, MADV_DONTNEED);
  for (size_t page = 0; page < LOOKED_AT; page++)
    sum += file[page * PAGE];
  return sum;
}

NOINLINE void serve(int zeros, volatile char *file) {
  grow_by_filling();
  grow_by_reading(zeros);
  look_at_file(file);
  KEEP_FRAME();
}

int main(int argc, char **argv) {
  int zeros = open("/dev/zero", O_RDONLY);
  char *file = mmap(0, LOOKED_AT * PAGE, PROT_READ, MAP_PRIVATE, open(argv[0], O_RDONLY), 0);
  if (file == MAP_FAILED)
    _exit(3);
  // One fault is one page.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  say("ready\n");
  for (;;) {
    serve(zeros, file);
    usleep(10000);
  }
  return argc;
}
