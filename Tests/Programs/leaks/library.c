// A library that keeps pointers for its caller; modules.c links one copy and loads others while it runs.
#include "../steps.h"

static int something;
static void *volatile data = &something;
static void *volatile bss[2000];
static __thread void *volatile variable;
// Too large for what is left of the space that threads have for libraries loaded later.
static __thread void *volatile large_variable[20000];

void keep_in_data(void *pointer) { data = pointer; }
void keep_in_bss(void *pointer) { bss[1999] = pointer; }
void keep_in_variable(void *pointer) { variable = pointer; }
void keep_in_large_variable(void *pointer) { large_variable[19999] = pointer; }

// Lost, once per copy of the library: 40 bytes.
__attribute__((constructor)) static void case_library_constructor__runs(void) {
  void *volatile dropped = malloc(40);
  dropped = NULL;
  (void)dropped;
}
