// Allocators of a program's own, under names that no catalogue has. Blocks come from a static arena, and nothing here
// calls malloc.
#include <stdalign.h>
#include <stdint.h>

#include "steps.h"

static alignas(16) char arena[1 << 20];
static size_t used;
static void *volatile kept;

NOINLINE static void *take(size_t size) {
  if (used + size > sizeof(arena))
    return NULL;
  void *block = arena + used;
  used += (size + 15) / 16 * 16;
  return block;
}

struct pool { int unused; };

NOINLINE void *pool_get(struct pool *pool, size_t size) { void *block = pool ? take(size) : NULL; KEEP_FRAME(); return block; }
NOINLINE void *pool_get_many(struct pool *pool, size_t count, size_t size) { void *block = pool ? take(count * size) : NULL; KEEP_FRAME(); return block; }
NOINLINE void *pool_resize(struct pool *pool, void *old, size_t size) { (void)old; void *block = pool ? take(size) : NULL; KEEP_FRAME(); return block; }
NOINLINE int pool_fetch(size_t size, void **out) {
  void *block = take(size);
  KEEP_FRAME();
  if (!block)
    return -1;
  *out = block;
  return 0;
}
NOINLINE void pool_put(struct pool *pool, void *block) { (void)pool; (void)block; KEEP_FRAME(); }

// The C interface behind a prefix.
NOINLINE void *my_malloc(size_t size) { void *block = take(size); KEEP_FRAME(); return block; }
NOINLINE void *my_calloc(size_t count, size_t size) { void *block = take(count * size); KEEP_FRAME(); return block; }
NOINLINE void *my_realloc(void *old, size_t size) { (void)old; void *block = take(size); KEEP_FRAME(); return block; }
NOINLINE void my_free(void *block) { (void)block; KEEP_FRAME(); }

NOINLINE static void case_pool(void) {
  static struct pool pool;
  kept = pool_get(&pool, 100);
  kept = pool_get_many(&pool, 5, 30);
  void *volatile block = pool_get(&pool, 64);
  kept = pool_resize(&pool, block, 200);
  void *fetched = NULL;
  require(pool_fetch(70, &fetched) == 0, 10);
  require(pool_fetch(4 << 20, &fetched) == -1, 11);
  block = pool_get(&pool, 40);
  pool_put(&pool, block);
  pool_put(&pool, NULL);
  kept = pool_get(NULL, 50);
}

NOINLINE static void case_prefix(void) {
  kept = my_malloc(101);
  kept = my_calloc(3, 20);
  void *volatile block = my_realloc(NULL, 30);
  block = my_realloc(block, 35);
  block = my_malloc(7);
  my_free(block);
}

NOINLINE static void case_malloc(void) { kept = malloc(17); KEEP_FRAME(); }

int main(void) {
  step();
  case_pool();
  case_prefix();
  case_malloc();
  step();
  return 0;
}
