// Structures of blocks, kept whole, lost whole, and lost in part.
#define _GNU_SOURCE
#include <malloc.h>
#include <sys/mman.h>

#include "leaks.h"

// A node of most structures: up to four links, at 0, 8, 16 and 24.
enum { NODE = 64, LINKS = 4 };

// Allocates count nodes that refer to nothing. Inlined, so that the case is the caller.
static inline __attribute__((always_inline)) void make_nodes(void **nodes, size_t count) {
  for (size_t i = 0; i < count; i++)
    nodes[i] = block(NODE);
}

// Links nodes to each other.
static inline void link_to(void *from, int slot, void *to) { put(from, 8 * slot, to); }

// What a local array of pointers leaves behind on the stack.
static inline __attribute__((always_inline)) void forget(void **pointers, size_t count) {
  for (size_t i = 0; i < count; i++)
    ((void *volatile *)pointers)[i] = NULL;
}

// ---- Trees. ---------------------------------------------------------------------------------------------------------
static Root tree_root, pruned_root;

static inline __attribute__((always_inline)) void *make_tree(void) {
  void *nodes[31];
  make_nodes(nodes, 31);
  for (int i = 0; i < 15; i++) {
    link_to(nodes[i], 0, nodes[2 * i + 1]);
    link_to(nodes[i], 1, nodes[2 * i + 2]);
  }
  void *root = nodes[0];
  forget(nodes, 31);
  return root;
}

// 31 reachable.
LEAK_CASE(tree_kept) { tree_root = make_tree(); }

// 1 lost, 30 with it.
LEAK_CASE(tree_lost) { make_tree(); KEEP_FRAME(); }

// One branch cut off: 16 reachable, 1 lost, 14 with it.
LEAK_CASE(tree_pruned) {
  void *root = make_tree();
  pruned_root = root;
  link_to(root, 1, NULL);
}

// ---- Lists. ---------------------------------------------------------------------------------------------------------
static Root list_root, middle_root, end_root, both_ways_root, forward_root;

static inline __attribute__((always_inline)) void *make_list(int count, int both_ways, void **middle, void **end) {
  void *head = NULL, *last = NULL;
  for (int i = 0; i < count; i++) {
    void *node = block(NODE);
    if (last) {
      link_to(last, 0, node);
      if (both_ways)
        link_to(node, 1, last);
    } else {
      head = node;
    }
    if (i == count / 2)
      *middle = node;
    last = node;
  }
  *end = last;
  return head;
}

// 1,000 reachable.
LEAK_CASE(list_kept) {
  void *middle = NULL, *end;
  list_root = make_list(1000, 0, &middle, &end);
}

// 1 lost, 999 with it.
LEAK_CASE(list_lost) {
  void *middle = NULL, *end;
  make_list(1000, 0, &middle, &end);
  KEEP_FRAME();
}

// 1 lost, 49 with it, 50 reachable from the middle.
LEAK_CASE(list_from_middle) {
  void *middle = NULL, *end;
  make_list(100, 0, &middle, &end);
  middle_root = middle;
}

// Only the end is known: 1 lost, 98 with it, 1 reachable.
LEAK_CASE(list_end) {
  void *middle = NULL, *end;
  make_list(100, 0, &middle, &end);
  end_root = end;
}

// Linked both ways, the end is enough: 100 reachable.
LEAK_CASE(list_both_ways_end) {
  void *middle = NULL, *end;
  make_list(100, 1, &middle, &end);
  both_ways_root = end;
}

// Linked both ways and lost, all are one cycle: 1 lost, 99 with it.
LEAK_CASE(list_both_ways_lost) {
  void *middle = NULL, *end;
  make_list(100, 1, &middle, &end);
  KEEP_FRAME();
}

// Deep enough to break any recursion: 1 lost, 99,999 with it.
LEAK_CASE(list_deep) {
  void *middle = NULL, *end;
  make_list(100000, 0, &middle, &end);
  KEEP_FRAME();
}

// ---- Cycles. --------------------------------------------------------------------------------------------------------
static Root ring_root, ring_interior_root;

static inline __attribute__((always_inline)) void *make_ring(int count, size_t offset) {
  void *middle, *end, *head = make_list(count, 0, &middle, &end);
  link_to(end, 0, (char *)head + offset);
  return head;
}

// 10 reachable.
LEAK_CASE(ring_kept) { ring_root = make_ring(10, 0); }

// 1 lost, 9 with it.
LEAK_CASE(ring_lost) { make_ring(10, 0); KEEP_FRAME(); }

// The same, closed by an interior pointer.
LEAK_CASE(ring_closed_inside) { make_ring(10, 32); KEEP_FRAME(); }

// 10 possibly lost.
LEAK_CASE(ring_possible) { ring_interior_root = (char *)make_ring(10, 0) + 4; }

// A block that refers to itself: lost.
LEAK_CASE(self) {
  void *node = block(NODE);
  link_to(node, 0, node);
}

// To its own middle.
LEAK_CASE(self_inside) {
  void *node = block(NODE);
  link_to(node, 3, (char *)node + 8);
}

// A ring of 3 that a lost block hangs before and another behind: the first lost, 4 with it.
LEAK_CASE(ring_between) {
  void *before = block(NODE), *ring = make_ring(3, 0), *behind = block(NODE);
  link_to(before, 0, ring);
  link_to(ring, 1, behind);
}

// ---- Cliques: everyone knows everyone. ------------------------------------------------------------------------------
static Root clique_root, clique_interior_root;

static inline __attribute__((always_inline)) void *make_clique(void) {
  void *nodes[LINKS + 1];
  make_nodes(nodes, LINKS + 1);
  for (int i = 0; i <= LINKS; i++)
    for (int j = 0, slot = 0; j <= LINKS; j++)
      if (i != j)
        link_to(nodes[i], slot++, nodes[j]);
  void *first = nodes[0];
  forget(nodes, LINKS + 1);
  return first;
}

// 5 reachable.
LEAK_CASE(clique_kept) { clique_root = make_clique(); }

// 1 lost, 4 with it.
LEAK_CASE(clique_lost) { make_clique(); KEEP_FRAME(); }

// 5 possibly lost.
LEAK_CASE(clique_possible) { clique_interior_root = (char *)make_clique() + 60; }

// A clique that refers to a second one: 1 lost, 9 with it.
LEAK_CASE(clique_to_clique) {
  void *first = make_clique(), *second = make_clique();
  put(first, 40, second);
}

// The same, the second allocated before.
LEAK_CASE(clique_to_earlier) {
  void *second = make_clique(), *first = make_clique();
  put(first, 40, second);
}

// Two cliques that refer to a third: 2 lost, 13 with them.
LEAK_CASE(clique_shared) {
  void *first = make_clique(), *shared = make_clique(), *second = make_clique();
  put(first, 40, shared);
  put(second, 48, shared);
}

// A chain of eight cliques: 1 lost, 39 with it.
LEAK_CASE(clique_chain) {
  void *last = NULL;
  for (int i = 0; i < 8; i++) {
    void *clique = make_clique();
    if (last)
      put(clique, 56, last);
    last = clique;
  }
}

// Two blocks that refer to one: 2 lost, 1 with them.
LEAK_CASE(shared_child) {
  void *child = block(NODE);
  link_to(block(NODE), 0, child);
  link_to(block(NODE), 0, child);
}

// ---- Pools: a large block cut into objects that own blocks. ---------------------------------------------------------
static Root pool_root, pool_object_root;

static inline __attribute__((always_inline)) char *make_pool(void) {
  char *pool = (char *)block(64 * 1024);
  for (int i = 0; i < 100; i++)
    put(pool, 128 + 640 * i, block(24));
  return pool;
}

// 101 reachable.
LEAK_CASE(pool_kept) { pool_root = make_pool(); }

// 1 lost, 100 with it.
LEAK_CASE(pool_lost) { make_pool(); KEEP_FRAME(); }

// One object is known: 101 possibly lost.
LEAK_CASE(pool_object) { pool_object_root = make_pool() + 640; }

// ---- Sizes from nothing to megabytes. -------------------------------------------------------------------------------
static Root empty_root, large_root, large_interior_root, large_next_root, holes_root;
enum { LARGE = 1 << 20 };

// Size 0: 3 lost, 1 reachable.
LEAK_CASE(empty) {
  for (int i = 0; i < 4; i++)
    empty_root = block(0);
}

// The reachable one is large enough for a mapping of its own, what it owns is reachable.
LEAK_CASE(large_kept) {
  void *large = block(LARGE);
  large_root = large;
  put(large, 0, block(NODE));
  put(large, LARGE / 2, block(NODE));
  put(large, LARGE - 8, block(NODE));
}

// 1 lost, 2 with it.
LEAK_CASE(large_lost) {
  void *large = block(LARGE);
  put(large, 8, block(NODE));
  put(large, LARGE - 8, block(NODE));
}

// 2 possibly lost.
LEAK_CASE(large_interior) {
  void *large = block(LARGE);
  large_interior_root = (char *)large + 700000;
  put(large, 65536, block(NODE));
}

// A block whose middle cannot be read: what it holds before and behind is reachable, 3 blocks in all.
LEAK_CASE(large_with_hole) {
  char *large = (char *)block(LARGE);
  holes_root = large;
  put(large, 16, block(NODE));
  put(large, LARGE - 16, block(NODE));
  uintptr_t hole = ((uintptr_t)large + LARGE / 2) & ~(uintptr_t)4095;
  require(mprotect((void *)hole, 3 * 4096, PROT_NONE) == 0, 10);
}

// ---- Other ways to allocate. ----------------------------------------------------------------------------------------
static Root calloc_root, grown_root, grown_list_root, aligned_roots[3];

// 1 of 400 bytes reachable, 1 of 160 lost.
LEAK_CASE(callocs) {
  calloc_root = calloc(4, 100);
  void *volatile lost = calloc(1, 160);
  lost = NULL;
  (void)lost;
}

// Grown until it had to move, with a block in it, kept: 2 reachable.
LEAK_CASE(realloc_kept) {
  void *grown = block(NODE);
  put(grown, 0, block(32));
  for (size_t size = 128; size <= 65536; size *= 2)
    grown = realloc(grown, size);
  // What realloc adds has old contents.
  memset((char *)grown + NODE, 0, 65536 - NODE);
  grown_root = grown;
}

// The same lost: 1 lost, 1 with it.
LEAK_CASE(realloc_lost) {
  void *grown = block(NODE);
  put(grown, 0, block(32));
  for (size_t size = 128; size <= 32768; size *= 2)
    grown = realloc(grown, size);
  memset((char *)grown + NODE, 0, 32768 - NODE);
  KEEP_FRAME();
}

// 3 reachable, 3 lost.
LEAK_CASE(aligned) {
  for (int i = 0; i < 2; i++) {
    void *volatile pointer = NULL;
    aligned_roots[0] = memset(memalign(256, 100), 0, 100);
    require(posix_memalign((void **)&pointer, 1024, 200) == 0, 12);
    aligned_roots[1] = memset(pointer, 0, 200);
    aligned_roots[2] = memset(aligned_alloc(64, 320), 0, 320);
    pointer = NULL;
  }
}

// The classic: the old pointer is kept, the block has moved: 1 lost.
LEAK_CASE(realloc_old_pointer) {
  void *volatile old = block(5000);
  void *volatile barrier = block(5008);
  grown_list_root = old;
  void *volatile moved = realloc(old, 300000);
  require(moved != old, 11);
  free(barrier);
  memset(moved, 0, 300000);
  moved = old = barrier = NULL;
}

static const struct leak_case cases[] = {
    CASE_ENTRY(tree_kept), CASE_ENTRY(tree_lost), CASE_ENTRY(tree_pruned), CASE_ENTRY(list_kept),
    CASE_ENTRY(list_lost), CASE_ENTRY(list_from_middle), CASE_ENTRY(list_end), CASE_ENTRY(list_both_ways_end),
    CASE_ENTRY(list_both_ways_lost), CASE_ENTRY(list_deep), CASE_ENTRY(ring_kept), CASE_ENTRY(ring_lost),
    CASE_ENTRY(ring_closed_inside), CASE_ENTRY(ring_possible), CASE_ENTRY(self), CASE_ENTRY(self_inside),
    CASE_ENTRY(ring_between), CASE_ENTRY(clique_kept), CASE_ENTRY(clique_lost), CASE_ENTRY(clique_possible),
    CASE_ENTRY(clique_to_clique), CASE_ENTRY(clique_to_earlier), CASE_ENTRY(clique_shared),
    CASE_ENTRY(clique_chain), CASE_ENTRY(shared_child), CASE_ENTRY(pool_kept), CASE_ENTRY(pool_lost),
    CASE_ENTRY(pool_object), CASE_ENTRY(empty), CASE_ENTRY(large_kept), CASE_ENTRY(large_lost),
    CASE_ENTRY(large_interior), CASE_ENTRY(large_with_hole), CASE_ENTRY(callocs), CASE_ENTRY(realloc_kept),
    CASE_ENTRY(realloc_lost), CASE_ENTRY(aligned),
    // Last: what it frees must not be given to others.
    CASE_ENTRY(realloc_old_pointer),
};

int main(int argc, char **argv) {
  (void)argc;
  RUN_CASES(cases, argv);
}
