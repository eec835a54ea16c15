// Waits, in the kernel and beyond the reach of a tracer, for a child that shares its memory.
#include "steps.h"

int main(void) {
  step();
  void *volatile block = malloc(10);
  say("forking\n");
  if (vfork() == 0) {
    char byte;
    ssize_t count = read(0, &byte, 1);
    (void)count;
    _exit(0);
  }
  free(block);
  char byte;
  while (read(0, &byte, 1) == 1 && byte != '\n')
    ;
  step();
  return 0;
}
