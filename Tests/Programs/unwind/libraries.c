// Loads the libraries named by its arguments one after the other, each where the one before it was, and calls `enter`.
#include <dlfcn.h>

#include "phases.h"

static char **names;
static int next;
static void *library;
static void (*enter)(void (*)(void));

__attribute__((noinline)) static void load(void) {
  if (library)
    dlclose(library);
  library = dlopen(names[next++], RTLD_NOW);
  enter = library ? (void (*)(void (*)(void)))dlsym(library, "enter") : NULL;
  printf("%p\n", (void *)enter);
}

__attribute__((noinline)) static void call(void) {
  for (int i = 0; enter && i < 20; i++)
    enter(checkpoint);
  AFTER_CALL();
}

int main(int argc, char **argv) {
  static void (*phases[64])(void);
  names = argv + 1;
  int count = 0;
  for (int i = 1; i < argc && count < 62; i++) {
    phases[count++] = load;
    phases[count++] = call;
  }
  return run_phases(phases, count);
}
