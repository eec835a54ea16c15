// Runs code of one file, then of another that lies at the same addresses: reuse FIRST SECOND WAY
// FIRST and SECOND are libraries made of code.c with the functions first_code and other_code.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../steps.h"

typedef void (*code)(void (*callee)(void), void (*decoy)(void));

static void *volatile kept;

NOINLINE static void decoy(void) { __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop"); }
// The blocks of the second code differ in size from those of the first, so that a report can be held against its names.
static volatile size_t block_size = 64;
NOINLINE static void allocate(void) { kept = malloc(block_size); KEEP_FRAME(); }

NOINLINE static void run_first(code function) {
  for (int i = 0; i < 3; i++)
    function(allocate, decoy);
  KEEP_FRAME();
}

NOINLINE static void run_other(code function) {
  block_size = 96;
  for (int i = 0; i < 5; i++)
    function(allocate, decoy);
  KEEP_FRAME();
}

// ---- Libraries
static void *library;

static code load(const char *path, const char *name) {
  library = dlopen(path, RTLD_NOW);
  require(library != NULL, 20);
  code function = (code)dlsym(library, name);
  require(function != NULL, 21);
  return function;
}

static void unload(void) { require(dlclose(library) == 0, 22); }

static void copy_over(const char *from, const char *to) {
  char buffer[65536];
  ssize_t size;
  int source = open(from, O_RDONLY), target = open(to, O_WRONLY | O_TRUNC);
  require(source >= 0 && target >= 0, 23);
  while ((size = read(source, buffer, sizeof(buffer))) > 0)
    require(write(target, buffer, size) == size, 24);
  close(source);
  close(target);
}

// ---- Files mapped by hand, by system calls that no probe of the C library sees
struct text {
  int file;
  uint64_t offset, size, function;
};

// Where the code is in the file: its offset is the function's address, as linkers lay out small libraries.
static struct text open_text(const char *path, const char *name) {
  code function = load(path, name);
  Dl_info information;
  require(dladdr((void *)function, &information) != 0, 25);
  struct text text = {.file = open(path, O_RDONLY)};
  uint64_t address = (uint64_t)function - (uint64_t)information.dli_fbase;
  text.offset = address & ~4095ull;
  text.size = 4096;
  text.function = address & 4095;
  unload();
  return text;
}

static void *map_text(struct text text, void *place, int flags) {
  long result = syscall(SYS_mmap, place, text.size, PROT_READ | PROT_EXEC, MAP_PRIVATE | flags, text.file, text.offset);
  require(result > 0, 26);
  return (void *)result;
}

static code function_at(void *place, struct text text) { return (code)((char *)place + text.function); }

static void by_hand(const char *first, const char *second, const char *way) {
  struct text one = open_text(first, "first_code"), other = open_text(second, "other_code");
  require(one.offset == other.offset && one.function == other.function, 27);
  // On both sides, so that the code is a mapping of its own without a gap to either side.
  char *around = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void *place = map_text(one, around + 4096, MAP_FIXED);
  run_first(function_at(place, one));
  step();
  if (!strcmp(way, "unmapped")) {
    require(syscall(SYS_munmap, place, one.size) == 0, 28);
    map_text(other, place, MAP_FIXED_NOREPLACE);
  } else if (!strcmp(way, "covered")) {
    map_text(other, place, MAP_FIXED);
  } else if (!strcmp(way, "moved")) {
    void *elsewhere = map_text(other, NULL, 0);
    require(syscall(SYS_mremap, elsewhere, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place) == (long)place, 29);
  } else {
    _exit(30);
  }
  run_other(function_at(place, other));
  step();
}

// More events at once than wait for user space to look.
NOINLINE static void run_many(code function) {
  for (int i = 0; i < 500; i++)
    function(allocate, decoy);
  KEEP_FRAME();
}

static void many_at_once(const char *path) {
  struct text text = open_text(path, "first_code");
  run_many(function_at(map_text(text, NULL, 0), text));
  step();
}

static void by_loader(const char *first, const char *second, int rewrites) {
  code function = load(first, "first_code");
  run_first(function);
  step();
  unload();
  if (rewrites)
    copy_over(second, first);
  code other = load(rewrites ? first : second, "other_code");
  require(other == function, 31);
  run_other(other);
  step();
}

// ---- Processes
static pid_t clone_with_id(pid_t wanted) {
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size;
  } arguments = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)&wanted, .set_tid_size = 1};
  return syscall(SYS_clone3, &arguments, sizeof(arguments));
}

// A second child with the process id of the first.
static void by_process_id(const char *first, const char *second) {
  pid_t child = fork();
  require(child >= 0, 32);
  if (child == 0) {
    run_first(load(first, "first_code"));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  pid_t again = clone_with_id(child);
  require(again == 0 || again == child, 33);
  if (again == 0) {
    // Nothing holds a child of a system call of our own until it is probed: the test says when it is.
    step();
    run_other(load(second, "other_code"));
    _exit(0);
  }
  waitpid(again, NULL, 0);
}

int main(int argc, char **argv) {
  require(argc == 4, 34);
  step();
  if (!strcmp(argv[3], "closed"))
    by_loader(argv[1], argv[2], 0);
  else if (!strcmp(argv[3], "rewritten"))
    by_loader(argv[1], argv[2], 1);
  else if (!strcmp(argv[3], "many"))
    many_at_once(argv[1]);
  else if (!strcmp(argv[3], "process"))
    by_process_id(argv[1], argv[2]);
  else
    by_hand(argv[1], argv[2], argv[3]);
  return 0;
}
