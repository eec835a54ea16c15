// Pointers that are operands of instructions in memory with code that is written at run time, at every place relative to a word;
// beside each such block another one of the same size that nobody holds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../steps.h"

__attribute__((noinline)) static void *held(void) { return malloc(1111); }
__attribute__((noinline)) static void lost(void) {
  void *volatile block = malloc(2222);
  memset(block, 0, 2222);
  block = NULL;
}

__attribute__((noinline)) static void compile(unsigned char *code) {
  for (int i = 0; i < 8; i++) {
    uintptr_t block = (uintptr_t)held();
    // movabs $block, %rax; ret
    unsigned char *at = code + 64 * i + i;
    at[0] = 0x48, at[1] = 0xb8;
    memcpy(at + 2, &block, sizeof(block));
    at[10] = 0xc3;
    lost();
  }
}

int main(void) {
  unsigned char *code =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED)
    return 1;
  step();
  compile(code);
  char *(*first)(void) = (char *(*)(void))code;
  memset(first(), 7, 1);
  step();
  return 0;
}
