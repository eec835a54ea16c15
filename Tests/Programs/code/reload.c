// Loads a plugin, calls it and unloads it, again and again: reload COUNT FILE…
// The files are used in turn. What lies where the plugin was makes it lie elsewhere each time.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "../steps.h"

NOINLINE static void call(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  require(library != NULL, 20);
  void (*leak)(void) = (void (*)(void))dlsym(library, "leak");
  require(leak != NULL, 21);
  leak();
  require(dlclose(library) == 0, 22);
  KEEP_FRAME();
}

int main(int argc, char **argv) {
  require(argc >= 3, 23);
  int count = atoi(argv[1]);
  struct timespec pause = {.tv_nsec = 100000000};
  step();
  for (int i = 0; i < count; i++) {
    call(argv[2 + i % (argc - 2)]);
    require(mmap(NULL, 4096 * (size_t)(i % 7 + 1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, 24);
    nanosleep(&pause, NULL);
  }
  step();
  return 0;
}
