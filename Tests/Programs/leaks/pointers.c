// Every way in which a pointer can refer to a block, from a root or from another block. A is 32 bytes, B is 48.
#include "leaks.h"

enum { A = 32, B = 48 };

// ---- The nine cases of memcheck's manual; `-?->` there is an interior pointer here. --------------------------------
static Root start_root, chain_root, interior_root, chain_interior_root, interior_chain_root, interior_interior_root;

// B reachable.
LEAK_CASE(start) { start_root = block(B); }

// A and B reachable.
LEAK_CASE(chain) {
  void *a = block(A);
  chain_root = a;
  put(a, 0, block(B));
}

// B lost.
LEAK_CASE(lost) { block(B); KEEP_FRAME(); }

// A lost, B with it.
LEAK_CASE(lost_chain) { put(block(A), 8, block(B)); }

// B possibly lost.
LEAK_CASE(interior) { interior_root = (char *)block(B) + 8; }

// A reachable, B possibly lost.
LEAK_CASE(chain_interior) {
  void *a = block(A);
  chain_interior_root = a;
  put(a, 0, (char *)block(B) + 16);
}

// A and B possibly lost.
LEAK_CASE(interior_chain) {
  void *a = block(A);
  interior_chain_root = (char *)a + 24;
  put(a, 0, block(B));
}

// The same.
LEAK_CASE(interior_interior) {
  void *a = block(A);
  interior_interior_root = (char *)a + 1;
  put(a, 24, (char *)block(B) + 47);
}

// A lost, B with it.
LEAK_CASE(lost_interior) { put(block(A), 0, (char *)block(B) + 40); }

// ---- Where exactly a block begins and ends. -------------------------------------------------------------------------
static Root last_byte_root, past_end_root, slack_root, before_start_root;

// Possibly lost.
LEAK_CASE(last_byte) { last_byte_root = (char *)block(B) + B - 1; }

// Lost: one past the end is no pointer into the block.
LEAK_CASE(past_end) { past_end_root = (char *)block(40) + 40; }

// Lost: 20 bytes were asked for, the allocator's 4 more do not count.
LEAK_CASE(slack) { slack_root = (char *)block(20) + 20; }

// Lost.
LEAK_CASE(before_start) { before_start_root = (char *)block(B) - 8; }

// ---- Several pointers to one block. ---------------------------------------------------------------------------------
static Root both_roots[2], diamond_roots[2], weaker_roots[2], rescued_root, rescued_interior_root;

// Reachable: the better pointer counts, whichever is found first.
LEAK_CASE(start_and_interior) {
  char *b = (char *)block(B);
  both_roots[0] = b + 8;
  both_roots[1] = b;
  b = (char *)block(B);
  both_roots[0] = b;
  put(block(A), 0, b); // Lost: what a lost block holds changes nothing.
}

// Two A and one B, all reachable.
LEAK_CASE(diamond) {
  void *b = block(B);
  for (int i = 0; i < 2; i++) {
    void *a = block(A);
    diamond_roots[i] = a;
    put(a, 8, b);
  }
}

// One A possibly lost, one reachable, B reachable through the second.
LEAK_CASE(weaker_path) {
  void *b = block(B);
  for (int i = 0; i < 2; i++) {
    void *a = block(A);
    weaker_roots[i] = (char *)a + (i ? 0 : 8);
    put(a, 8, b);
  }
}

// A lost, B reachable.
LEAK_CASE(rescued) {
  void *b = block(B);
  put(block(A), 0, b);
  rescued_root = b;
}

// A lost, B possibly lost.
LEAK_CASE(rescued_interior) {
  void *b = block(B);
  put(block(A), 0, b);
  rescued_interior_root = (char *)b + 8;
}

// ---- Words that are no pointers, or not whole ones. -----------------------------------------------------------------
static struct __attribute__((packed)) {
  char shift;
  void *volatile pointer;
} packed_root;
static Root low_tag_root, high_tag_root, xor_root, halves_root[2], complement_root;
static Root unaligned_owner;

// Lost: pointers are searched at aligned addresses.
LEAK_CASE(unaligned) { packed_root.pointer = block(B); }

// A reachable, B lost.
LEAK_CASE(unaligned_in_block) {
  void *a = block(A);
  unaligned_owner = a;
  put(a, 3, block(B));
}

// Possibly lost: a tag in the lowest bits makes an interior pointer.
LEAK_CASE(low_tag) { low_tag_root = (char *)block(B) + 1; }

// Lost.
LEAK_CASE(high_tag) { high_tag_root = (void *)((uintptr_t)block(B) | (uintptr_t)1 << 63); }

// Lost.
LEAK_CASE(exclusive_or) { xor_root = (void *)((uintptr_t)block(B) ^ 0x5555555555555555u); }

// Lost.
LEAK_CASE(complement) { complement_root = (void *)~(uintptr_t)block(B); }

// Lost.
LEAK_CASE(halves) {
  uintptr_t b = (uintptr_t)block(B);
  halves_root[0] = (void *)(b << 32);
  halves_root[1] = (void *)(b >> 32);
}

// ---- Pointers that are gone. ----------------------------------------------------------------------------------------
static Root overwritten_root, nulled_root, freed_owner_root;

// First B lost, second reachable.
LEAK_CASE(overwritten) {
  overwritten_root = block(B);
  overwritten_root = block(B);
}

// Lost.
LEAK_CASE(nulled) {
  nulled_root = block(B);
  nulled_root = NULL;
}

// B lost: its owner is freed, though the pointer in it and the pointer to it are still there.
LEAK_CASE(freed_owner) {
  void *a = block(200);
  put(a, 24, block(B));
  freed_owner_root = a;
  free(a);
}

// A chain of three, the middle one freed: the last is lost.
static Root freed_middle_root;
LEAK_CASE(freed_middle) {
  void *a = block(A), *middle = block(300);
  put(middle, 40, block(B));
  put(a, 0, middle);
  freed_middle_root = a;
  free(middle);
}

static const struct leak_case cases[] = {
    CASE_ENTRY(start), CASE_ENTRY(chain), CASE_ENTRY(lost), CASE_ENTRY(lost_chain), CASE_ENTRY(interior),
    CASE_ENTRY(chain_interior), CASE_ENTRY(interior_chain), CASE_ENTRY(interior_interior), CASE_ENTRY(lost_interior),
    CASE_ENTRY(last_byte), CASE_ENTRY(past_end), CASE_ENTRY(slack), CASE_ENTRY(before_start),
    CASE_ENTRY(start_and_interior), CASE_ENTRY(diamond), CASE_ENTRY(weaker_path), CASE_ENTRY(rescued),
    CASE_ENTRY(rescued_interior), CASE_ENTRY(unaligned), CASE_ENTRY(unaligned_in_block), CASE_ENTRY(low_tag),
    CASE_ENTRY(high_tag), CASE_ENTRY(exclusive_or), CASE_ENTRY(complement), CASE_ENTRY(halves),
    CASE_ENTRY(overwritten), CASE_ENTRY(nulled),
    CASE_ENTRY(freed_owner), CASE_ENTRY(freed_middle),
};

int main(int argc, char **argv) {
  (void)argc;
  RUN_CASES(cases, argv);
}
