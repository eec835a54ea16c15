// Loads a library again and again and lets it allocate at once: host LIBRARY
#include <dlfcn.h>

#include "../steps.h"

static void *volatile kept;

NOINLINE static void use_plugin(const char *path, size_t size, int closes) {
  void *library = dlopen(path, RTLD_NOW);
  require(library != NULL, 10);
  void (*run)(size_t) = (void (*)(size_t))dlsym(library, "plugin_run");
  require(run != NULL, 11);
  run(size);
  if (closes)
    require(dlclose(library) == 0, 12);
}

NOINLINE static void before(void) { kept = malloc(900); KEEP_FRAME(); }
NOINLINE static void after(void) { kept = malloc(901); KEEP_FRAME(); }

int main(int argc, char **argv) {
  require(argc == 2, 13);
  step();
  before();
  use_plugin(argv[1], 100, 1);
  step();
  use_plugin(argv[1], 200, 0);
  after();
  step();
  return 0;
}
