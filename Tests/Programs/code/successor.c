// Executes another program, whose code lies at the same addresses; linked with code.c, and not position-independent:
// successor [NEXT], where NEXT is the same made with other values of FRAME, NAME and the like.
#include "../steps.h"

#ifndef NAME
#define NAME first_code
#endif
#ifndef COUNT
#define COUNT 3
#endif

void NAME(void (*callee)(void), void (*decoy)(void));

static void *volatile kept;

NOINLINE static void decoy(void) { __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop"); }
NOINLINE static void allocate(void) { kept = malloc(64); KEEP_FRAME(); }

int main(int argc, char **argv) {
  for (int i = 0; i < COUNT; i++)
    NAME(allocate, decoy);
  if (argc > 1)
    execv(argv[1], (char *[]){argv[1], NULL});
  return 0;
}
