// Address space that a program maps, unmaps, moves and grows by itself; P is a page. mappings CASE… or all.
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>

#include "steps.h"

#define P 4096ul

static void *volatile kept;

static char *map(size_t size) {
  char *range = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(range != MAP_FAILED, 10);
  return range;
}

// 16 P stay; 8 P come and go.
NOINLINE static void case_plain(void) {
  kept = map(16 * P);
  require(munmap(map(8 * P), 8 * P) == 0, 11);
}

// A length that is no multiple of a page takes whole pages.
NOINLINE static void case_odd_length(void) {
  kept = map(5 * P + 1);
  require(munmap(map(3 * P + 1), 4 * P - 1) == 0, 12);
}

// 10 P, of which 8 stay.
NOINLINE static void case_unmap_head(void) {
  char *range = map(10 * P);
  require(munmap(range, 2 * P) == 0, 13);
}

// 10 P, of which 7 stay.
NOINLINE static void case_unmap_tail(void) {
  char *range = map(10 * P);
  require(munmap(range + 7 * P, 3 * P) == 0, 14);
}

// 10 P, of which 3 + 4 stay, as one mapping still.
NOINLINE static void case_unmap_middle(void) {
  char *range = map(10 * P);
  require(munmap(range + 3 * P, 3 * P) == 0, 15);
}

// 10 P, taken away in three pieces.
NOINLINE static void case_unmap_pieces(void) {
  char *range = map(10 * P);
  require(munmap(range + 3 * P, 3 * P) == 0, 16);
  require(munmap(range, 3 * P) == 0, 17);
  require(munmap(range + 6 * P, 4 * P) == 0, 18);
}

// Two mappings side by side, cut by one call: 2 + 3 of 10 P stay.
NOINLINE static void case_unmap_across(void) {
  char *place = map(10 * P);
  require(munmap(place, 10 * P) == 0, 19);
  for (int i = 0; i < 2; i++) {
    char *half = mmap(place + i * 5 * P, 5 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    require(half == place + i * 5 * P, 20);
  }
  require(munmap(place + 2 * P, 5 * P) == 0, 21);
}

// 10 P, in whose middle a new mapping of 4 P takes the place of what was there.
NOINLINE static void case_fixed_outer(char **range) { *range = map(10 * P); }
NOINLINE static void case_fixed_inner(char *range) {
  kept = mmap(range + 3 * P, 4 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  require(kept == range + 3 * P, 22);
}

// Three times over the very same range: only the last is there.
NOINLINE static void case_fixed_again(void) {
  char *range = map(6 * P);
  for (int i = 0; i < 3; i++)
    mmap(range, 6 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

NOINLINE static void case_remap_grow(void) {
  kept = mremap(map(4 * P), 4 * P, 12 * P, MREMAP_MAYMOVE);
  require(kept != MAP_FAILED, 23);
}

NOINLINE static void case_remap_shrink(void) {
  kept = mremap(map(12 * P), 12 * P, 5 * P, 0);
  require(kept != MAP_FAILED, 24);
}

// Moved onto half of another mapping of 8 P, which it replaces there: 4 + 4 stay.
NOINLINE static void case_remap_fixed(void) {
  char *target = map(8 * P), *source = map(4 * P);
  kept = mremap(source, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4 * P);
  require(kept == target + 4 * P, 25);
}

// The last 3 of 9 P move away and become 6: 6 + 6 stay.
NOINLINE static void case_remap_part(void) {
  char *range = map(9 * P);
  kept = mremap(range + 6 * P, 3 * P, 6 * P, MREMAP_MAYMOVE);
  require(kept != MAP_FAILED, 26);
}

// The pages move; the old range stays mapped.
NOINLINE static void case_remap_dontunmap(void) {
  char *range = map(4 * P);
  kept = mremap(range, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  require(kept != MAP_FAILED && kept != range, 27);
}

// What fails changes nothing.
NOINLINE static void case_failing(void) {
  char *range = map(3 * P);
  require(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, 28);
  require(mmap(NULL, 1ul << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, 29);
  require(mremap(range, 3 * P, 1ul << 60, MREMAP_MAYMOVE) == MAP_FAILED, 30);
  require(mremap(range + 1, 3 * P, 4 * P, MREMAP_MAYMOVE) == MAP_FAILED, 31);
  require(munmap(range + 1, P) == -1, 32);
  require(munmap(range, 0) == -1, 33);
  require(munmap(range, 1ul << 60) == -1, 34);
}

// A file's pages are address space, too.
NOINLINE static void case_file(void) {
  int file = memfd_create("pages", 0);
  require(file >= 0 && ftruncate(file, 20 * P) == 0, 35);
  kept = mmap(NULL, 7 * P, PROT_READ, MAP_SHARED, file, 2 * P);
  require(kept != MAP_FAILED, 36);
}

// The heap of malloc grows by mappings and by the program break, which are not the program's own.
NOINLINE static void case_malloc(void) {
  for (int i = 0; i < 100; i++)
    kept = malloc(10000);
  kept = malloc(1 << 20);
  void *volatile block = malloc(1 << 21);
  free(block);
}

// Grown by 100,000 + 50,000 bytes, shrunk by 50,000.
NOINLINE static void case_sbrk(void) {
  require(sbrk(100000) != (void *)-1, 37);
  require(sbrk(50000) != (void *)-1, 38);
  require(sbrk(-50000) != (void *)-1, 39);
}

NOINLINE static void case_fixed(void) {
  char *range;
  case_fixed_outer(&range);
  case_fixed_inner(range);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*function)(void);
  } cases[] = {
#define CASE(name) {#name, case_##name}
      CASE(plain), CASE(odd_length), CASE(unmap_head), CASE(unmap_tail), CASE(unmap_middle), CASE(unmap_pieces),
      CASE(unmap_across), CASE(fixed), CASE(fixed_again), CASE(remap_grow), CASE(remap_shrink), CASE(remap_fixed),
      CASE(remap_part), CASE(remap_dontunmap), CASE(failing), CASE(file), CASE(sbrk), CASE(malloc),
  };
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
