// A static program with an allocator of its own, which is none that is known. It sleeps until it is killed.
static char area[4096];
static unsigned long used;

__attribute__((noinline)) void *malloc(unsigned long size) {
  void *at = area + used % sizeof(area);
  used += size;
  return at;
}

__attribute__((noinline)) void free(void *at) { __asm__ volatile("" : : "r"(at) : "memory"); }

// The kernel begins it without a return address: the stack is not aligned as a called function expects.
__attribute__((force_align_arg_pointer)) void _start(void) {
  for (;;) {
    free(malloc(8));
    long seconds[2] = {1, 0}, result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(35L), "D"(seconds), "S"(0L) : "rcx", "r11", "memory");
  }
}
