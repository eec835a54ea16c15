// Interior pointers that are the only ones their language keeps, and some that only look alike. Compiled with the old
// strings of libstdc++ (_GLIBCXX_USE_CXX11_ABI=0), which point behind a header.
#include <string>

#include "leaks.h"

static void *volatile roots[32];
static int next_root;
static void keep(const void *pointer) { roots[next_root++] = const_cast<void *>(pointer); }

// ---- Strings: length, capacity and count before the text. -----------------------------------------------------------
#if _GLIBCXX_USE_CXX11_ABI
#error "the strings of this program must be the old ones"
#endif
static_assert(sizeof(std::string) == sizeof(void *));

// What a string holds: a pointer to its text.
NOINLINE static const void *text_of(size_t length) {
  alignas(std::string) char storage[sizeof(std::string)];
  new (storage) std::string(length, 'x');
  const void *text = *reinterpret_cast<void *volatile *>(storage);
  memset(storage, 0, sizeof storage);
  return text;
}

// 25 + 100 bytes reachable.
LEAK_CASE(string) { keep(text_of(100)); }

// Lost.
LEAK_CASE(string_lost) { text_of(200); KEEP_FRAME(); }

// A pointer to the middle of a text: possibly lost.
LEAK_CASE(string_middle) { keep(static_cast<const char *>(text_of(300)) + 10); }

// At the right offset, but the numbers before it do not fit: possibly lost.
LEAK_CASE(string_alike) {
  size_t *bytes = static_cast<size_t *>(block(128));
  bytes[0] = 20;
  bytes[1] = 200;
  keep(bytes + 3);
}

// ---- Arrays of objects with a destructor: their number before them. -------------------------------------------------
struct WithDestructor {
  NOINLINE ~WithDestructor() { KEEP_FRAME(); }
  uint64_t values[3] = {};
};

// 8 + 10 * 24 bytes reachable.
LEAK_CASE(array) { keep(new WithDestructor[10]); }

// A pointer to the second object: possibly lost.
LEAK_CASE(array_second) { keep(new WithDestructor[11] + 1); }

// Nothing keeps it: lost.
LEAK_CASE(array_lost) {
  WithDestructor *volatile lost = new WithDestructor[12];
  lost = nullptr;
  (void)lost;
}

// 0 objects: only their number is allocated, and the pointer is one past the end. Lost.
LEAK_CASE(array_empty) {
  volatile size_t none = 0;
  keep(new WithDestructor[none]);
}

// A count that does not divide the block: possibly lost.
LEAK_CASE(array_alike) {
  uint64_t *words = static_cast<uint64_t *>(block(8 + 50));
  words[0] = 7;
  keep(words + 1);
}

// ---- Objects with several base classes: a pointer to the second one. ------------------------------------------------
struct First {
  NOINLINE virtual ~First() { KEEP_FRAME(); }
  NOINLINE virtual int one() { return number; }
  int number = 0;
};
struct Second {
  NOINLINE virtual ~Second() { KEEP_FRAME(); }
  NOINLINE virtual int two() { return number; }
  int number = 0;
};
struct Both : First, Second {
  NOINLINE int one() override { return 1; }
  NOINLINE int two() override { return 2; }
  uint64_t payload[4] = {};
};
struct Plain : First {
  uint64_t payload[5] = {};
};

// 64 bytes reachable.
LEAK_CASE(second_base) { keep(static_cast<Second *>(new Both)); }

// A pointer into an object that is no base class: possibly lost.
LEAK_CASE(second_base_alike) { keep(&(new Plain)->payload[1]); }

// Lost.
LEAK_CASE(second_base_lost) {
  Second *volatile lost = new Both;
  lost = nullptr;
  (void)lost;
}

// ---- Blocks that begin with their own size. -------------------------------------------------------------------------
// 8 + 72 bytes reachable.
LEAK_CASE(length) {
  uint64_t *words = static_cast<uint64_t *>(block(80));
  words[0] = 72;
  keep(words + 1);
}

// A wrong size: possibly lost.
LEAK_CASE(length_alike) {
  uint64_t *words = static_cast<uint64_t *>(block(88));
  words[0] = 70;
  keep(words + 1);
}

// An owner reached through each: the owned 32 bytes are reachable, too.
LEAK_CASE(owner) {
  uint64_t *words = static_cast<uint64_t *>(block(80));
  words[0] = 72;
  put(words, 16, block(32));
  keep(words + 1);
  Both *both = new Both;
  put(both->payload, 0, block(32));
  keep(static_cast<Second *>(both));
}

static const leak_case cases[] = {
    CASE_ENTRY(string), CASE_ENTRY(string_lost), CASE_ENTRY(string_middle), CASE_ENTRY(string_alike),
    CASE_ENTRY(array), CASE_ENTRY(array_second), CASE_ENTRY(array_lost), CASE_ENTRY(array_empty),
    CASE_ENTRY(array_alike), CASE_ENTRY(second_base), CASE_ENTRY(second_base_alike), CASE_ENTRY(second_base_lost),
    CASE_ENTRY(length), CASE_ENTRY(length_alike), CASE_ENTRY(owner),
};

int main(int, char **argv) { RUN_CASES(cases, argv); }
