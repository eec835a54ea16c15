// unseen KIND: takes 16 MiB in a way that no traced call tells of, or in one that is no growth of its own.
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "../steps.h"

#define SIZE (16ul << 20)

static char *volatile reserved, *volatile cached;

static char *raw_map(int flags, int file) {
  return (char *)syscall(SYS_mmap, NULL, SIZE, PROT_READ | PROT_WRITE, flags, file, 0);
}

static int file_of_size(void) {
  char name[] = "/var/tmp/unseenXXXXXX";
  int file = mkstemp(name);
  require(file >= 0 && unlink(name) == 0 && ftruncate(file, SIZE) == 0, 11);
  return file;
}

static void write_all(char *memory) {
  require(memory != MAP_FAILED && memory != NULL, 12);
  for (size_t place = 0; place < SIZE; place += 4096)
    memory[place] = 1;
}

static char *take(const char *kind) {
  if (!strcmp(kind, "anonymous"))
    return raw_map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!strcmp(kind, "shared"))
    return raw_map(MAP_SHARED | MAP_ANONYMOUS, -1);
  if (!strcmp(kind, "segment")) {
    int segment = shmget(IPC_PRIVATE, SIZE, 0600 | IPC_CREAT);
    char *memory = shmat(segment, NULL, 0);
    shmctl(segment, IPC_RMID, NULL);
    return memory;
  }
  if (!strcmp(kind, "file"))
    return raw_map(MAP_PRIVATE, file_of_size());
  if (!strcmp(kind, "break")) {
    char *old = (char *)syscall(SYS_brk, NULL);
    require((char *)syscall(SYS_brk, old + SIZE) == old + SIZE, 13);
    return old;
  }
  // What follows is explained, or not the process's own.
  if (!strcmp(kind, "touched"))
    return reserved;
  if (!strcmp(kind, "mapped"))
    return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!strcmp(kind, "allocated"))
    return malloc(SIZE);
  if (!strcmp(kind, "page-cache"))
    return raw_map(MAP_SHARED, file_of_size());
  require(!strcmp(kind, "freed"), 14);
  // The heap keeps most of it.
  for (int round = 0; round < 2; round++) {
    static char *blocks[SIZE / 65536];
    for (size_t i = 0; i < SIZE / 65536; i++)
      memset(blocks[i] = malloc(65536 - 64), 1, 65536 - 64);
    cached = malloc(16);
    for (size_t i = 0; i < SIZE / 65536; i++)
      free(blocks[i]);
  }
  return NULL;
}

int main(int argc, char **argv) {
  require(argc == 2, 10);
  reserved = raw_map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  cached = malloc(16);
  step();
  char *memory = take(argv[1]);
  if (memory)
    write_all(memory);
  step();
  return 0;
}
