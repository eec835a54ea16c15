// operator new that throws, between calls that succeed. Linked with an allocator of its own, or not.
#include <cstdio>
#include <new>
#include <sys/resource.h>
#include <unistd.h>

static void *volatile kept;

__attribute__((noinline)) static void keep_small() {
  for (int i = 0; i < 100; i++)
    kept = ::operator new(48);
}

__attribute__((noinline)) static void keep_large() {
  for (int i = 0; i < 3; i++)
    kept = ::operator new(5000000);
}

__attribute__((noinline)) static bool ask_for_too_much(size_t size) {
  try {
    kept = ::operator new(size);
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

int main() {
  keep_small();
  keep_large();
  rlimit limit = {400ul << 20, 400ul << 20};
  if (setrlimit(RLIMIT_AS, &limit) != 0)
    return 98;
  int caught = 0;
  for (int i = 0; i < 50; i++)
    caught += ask_for_too_much(500ul << 20);
  dprintf(1, "caught %d\n", caught);
  return caught == 50 ? 0 : 1;
}
