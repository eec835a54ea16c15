// A library in whose code every instruction has 10 bytes, and (with CALLER) the program that runs through it all the time.
#ifndef CALLER
__asm__(".text\n.globl work\n.type work,@function\nwork:\n"
        ".rept 4000\nmovabs $0x1122334455667788, %rax\n.endr\nret\n.size work, .-work\n");
#else
#include "../steps.h"

void work(void);

int main(void) {
  step();
  for (;;)
    work();
}
#endif
