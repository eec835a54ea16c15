// A library that brings its own allocator, jemalloc's names on a mapping that outlives the library, and uses it.
#include <sys/mman.h>

#include "../steps.h"

static char *arena;
static size_t used;
static void *volatile kept;

NOINLINE void *je_malloc(size_t size) {
  if (!arena)
    arena = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void *block = arena + used;
  used += (size + 15) / 16 * 16;
  KEEP_FRAME();
  return block;
}

NOINLINE void je_free(void *block) { (void)block; KEEP_FRAME(); }

// 3 blocks stay, one goes.
NOINLINE void plugin_run(size_t size) {
  for (int i = 0; i < 3; i++)
    kept = je_malloc(size);
  void *volatile block = je_malloc(size);
  je_free(block);
}

// The first allocation of the library, before anyone can call it.
__attribute__((constructor)) static void plugin_constructor(void) { kept = je_malloc(1); }
