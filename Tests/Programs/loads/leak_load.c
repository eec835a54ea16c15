// Many blocks, nearly all of them reachable, some planted leaks among them.
//
// usage: leak_load BLOCKS LEAKS BYTES: so many blocks with so many bytes together, every one of them written to, of which
// LEAKS are lost. Blocks are also freed and allocated again before, so that stale pointers lie about.
#include <stdint.h>
#include <stdio.h>

#include "../steps.h"

struct block {
  struct block *other;
  uint64_t filler[];
};

static uint64_t state = 88172645463325252ull;

static uint64_t random_number(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static struct block *fill(struct block *block, size_t size, struct block *other) {
  block->other = other;
  for (size_t i = 0; i < size / 8 - 1; i++)
    block->filler[i] = i;
  return block;
}

NOINLINE static struct block *kept(size_t size, struct block *other) {
  struct block *block = fill(malloc(size), size, other);
  KEEP_FRAME();
  return block;
}

NOINLINE static void lose(size_t size, struct block *other) {
  fill(malloc(size), size, other);
  KEEP_FRAME();
}

// Leaves nothing of earlier calls on the stack.
NOINLINE static void clear_stack(void) {
  volatile char bytes[65536];
  for (size_t i = 0; i < sizeof(bytes); i++)
    bytes[i] = 0;
}

int main(int argument_count, char **arguments) {
  if (argument_count != 4)
    return 2;
  size_t blocks = strtoul(arguments[1], NULL, 10), leaks = strtoul(arguments[2], NULL, 10);
  size_t mean = strtoul(arguments[3], NULL, 10) / blocks;
  static struct block **table;
  size_t slots = blocks - leaks - 1, every = slots / (leaks + 1);
  step();
  table = malloc(slots * sizeof(*table));
  for (size_t i = 0; i < slots; i++) {
    size_t size = (mean / 2 + random_number() % mean + 15) & ~(size_t)7;
    // Some blocks have predecessors, which are gone but not wiped.
    if (i % 16 == 0)
      free(kept(size, i ? table[i - 1] : NULL));
    table[i] = kept(size, i ? table[random_number() % i] : NULL);
    if (i % every == every - 1 && leaks) {
      lose(size, table[i]);
      leaks--;
    }
  }
  for (; leaks > 0; leaks--)
    lose(mean, table[0]);
  clear_stack();
  say("built\n");
  step();
  return table[0] == NULL;
}
