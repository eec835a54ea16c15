// Every way of getting and giving back heap memory from C, each in a function of its own that leaves a known remainder.
// heap CASE… does the named ones, heap all of them. Blocks of this program differ in nothing but what a case says.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>

#include "steps.h"

// Too large for any allocator, and out of the compiler's sight.
static volatile size_t enormous = PTRDIFF_MAX - 4096;
static void *volatile kept;

// 3 blocks of 100 bytes stay, one of 50 goes.
NOINLINE static void case_malloc(void) {
  for (int i = 0; i < 3; i++)
    kept = malloc(100);
  void *volatile block = malloc(50);
  free(block);
}

NOINLINE static void case_malloc_zero(void) {
  kept = malloc(0);
  require(kept != NULL, 10);
}

// Served by a mapping of its own.
NOINLINE static void case_malloc_large(void) {
  kept = malloc(1 << 20);
  void *volatile block = malloc(3 << 20);
  free(block);
}

NOINLINE static void case_malloc_failing(void) {
  kept = malloc(enormous);
  require(kept == NULL && errno == ENOMEM, 11);
}

NOINLINE static void case_free_null(void) {
  for (int i = 0; i < 100; i++) {
    void *volatile nothing = NULL;
    free(nothing);
  }
}

NOINLINE static void case_calloc(void) {
  kept = calloc(10, 30);
  void *volatile block = calloc(1, 7);
  free(block);
}

NOINLINE static void case_calloc_overflow(void) {
  kept = calloc(enormous, 3);
  require(kept == NULL && errno == ENOMEM, 12);
}

NOINLINE static void case_realloc_null(void) { kept = realloc(NULL, 77); KEEP_FRAME(); }

NOINLINE static void case_realloc_grow(void) {
  void *volatile block = malloc(100);
  kept = realloc(block, 260);
  KEEP_FRAME();
}

NOINLINE static void case_realloc_shrink(void) {
  void *volatile block = malloc(5000);
  kept = realloc(block, 120);
  KEEP_FRAME();
}

// The new size cannot be served where the block is.
NOINLINE static void case_realloc_moved(void) {
  void *volatile block = malloc(100);
  uintptr_t before = (uintptr_t)block;
  kept = realloc(block, 400000);
  require((uintptr_t)kept != before, 13);
}

NOINLINE static void case_realloc_in_place(void) {
  void *volatile block = malloc(1000);
  uintptr_t before = (uintptr_t)block;
  kept = realloc(block, 995);
  require((uintptr_t)kept == before, 14);
}

// A mapping that the kernel moves or grows.
NOINLINE static void case_realloc_mapped(void) {
  void *volatile block = malloc(1 << 20);
  kept = realloc(block, 5 << 20);
  KEEP_FRAME();
}

// The old block lives on.
NOINLINE static void case_realloc_failing(void) {
  void *volatile block = malloc(90);
  kept = realloc(block, enormous);
  require(kept == NULL && errno == ENOMEM, 15);
}

// Failing, and then the old block is freed after all.
NOINLINE static void case_realloc_failing_freed(void) {
  void *volatile block = malloc(91);
  kept = realloc(block, enormous);
  require(kept == NULL, 16);
  free(block);
}

// Frees; what is returned is the allocator's choice.
NOINLINE static void case_realloc_zero(void) {
  void *volatile block = malloc(64);
  void *volatile nothing = realloc(block, 0);
  free(nothing);
}

NOINLINE static void case_realloc_zero_of_null(void) { kept = realloc(NULL, 0); KEEP_FRAME(); }

NOINLINE static void case_realloc_chain(void) {
  void *volatile block = NULL;
  for (size_t size = 1; size <= 1 << 17; size *= 2)
    block = realloc(block, size);
  kept = block;
}

NOINLINE static void case_reallocarray(void) {
  void *volatile block = reallocarray(NULL, 7, 11);
  block = reallocarray(block, 20, 11);
  kept = reallocarray(block, enormous, 16);
  require(kept == NULL && errno == ENOMEM, 17);
  kept = block;
}

NOINLINE static void case_posix_memalign(void) {
  void *block = NULL;
  require(posix_memalign(&block, 64, 320) == 0, 18);
  kept = block;
  require(posix_memalign(&block, 4096, 33) == 0, 19);
  free(block);
}

// The results of these calls are codes; the pointer is not touched.
NOINLINE static void case_posix_memalign_failing(void) {
  void *block = (void *)16;
  require(posix_memalign(&block, 3, 100) == EINVAL, 20);
  require(posix_memalign(&block, 64, enormous) == ENOMEM, 21);
  require(block == (void *)16, 22);
}

NOINLINE static void case_aligned_alloc(void) { kept = aligned_alloc(64, 640); KEEP_FRAME(); }

NOINLINE static void case_aligned_alloc_failing(void) {
  kept = aligned_alloc(64, enormous);
  require(kept == NULL, 23);
}

NOINLINE static void case_memalign(void) { kept = memalign(256, 100); KEEP_FRAME(); }
NOINLINE static void case_valloc(void) { kept = valloc(1000); KEEP_FRAME(); }
NOINLINE static void case_pvalloc(void) { kept = pvalloc(5000); KEEP_FRAME(); }

NOINLINE static void case_aligned_freed(void) {
  for (size_t alignment = 16; alignment <= 1 << 16; alignment *= 2) {
    void *volatile block = memalign(alignment, 24);
    free(block);
    block = aligned_alloc(alignment, alignment);
    free(block);
  }
}

NOINLINE static void case_strdup(void) { kept = strdup("twelve bytes"); KEEP_FRAME(); }
NOINLINE static void case_strndup(void) { kept = strndup("more than is taken", 4); KEEP_FRAME(); }

NOINLINE static void case_asprintf(void) {
  char *text;
  require(asprintf(&text, "%d characters", 13) == 13, 24);
  kept = text;
}

// Handed to each other between size classes, so that addresses are used again and again.
NOINLINE static void case_reused_addresses(void) {
  void *volatile blocks[64] = {0};
  for (int i = 0; i < 20000; i++) {
    int place = i * 7 % 64;
    free(blocks[place]);
    blocks[place] = malloc(16 + i % 40);
  }
  for (int i = 0; i < 60; i++)
    free(blocks[i]);
  // The test computes the sizes of the last four.
}

struct named_case {
  const char *name;
  void (*function)(void);
};
#define CASE(name) {#name, case_##name}
static const struct named_case cases[] = {
    CASE(malloc), CASE(malloc_zero), CASE(malloc_large), CASE(malloc_failing), CASE(free_null), CASE(calloc),
    CASE(calloc_overflow), CASE(realloc_null), CASE(realloc_grow), CASE(realloc_shrink), CASE(realloc_moved),
    CASE(realloc_in_place), CASE(realloc_mapped), CASE(realloc_failing), CASE(realloc_failing_freed),
    CASE(realloc_zero), CASE(realloc_zero_of_null), CASE(realloc_chain), CASE(reallocarray), CASE(posix_memalign),
    CASE(posix_memalign_failing), CASE(aligned_alloc), CASE(aligned_alloc_failing), CASE(memalign), CASE(valloc),
    CASE(pvalloc), CASE(aligned_freed), CASE(strdup), CASE(strndup), CASE(asprintf), CASE(reused_addresses),
};

int main(int argc, char **argv) {
  // Fixed, since it grows with what is freed otherwise.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  step();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    int chosen = argc == 1;
    for (int argument = 1; argument < argc; argument++)
      chosen |= strcmp(argv[argument], cases[i].name) == 0;
    if (chosen)
      cases[i].function();
  }
  step();
  return 0;
}
