// Maps a file of its owner's as code, and allocates beside it: 3 blocks of 100 bytes stay.
//
//   objects FILE          maps it
//   objects FILE OTHER    also exchanges the two names all the time
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../steps.h"

static char **names;

static void *exchange(void *unused) {
  (void)unused;
  for (;;)
    renameat2(AT_FDCWD, names[1], AT_FDCWD, names[2], RENAME_EXCHANGE);
  return NULL;
}

static void *volatile kept[3];

NOINLINE static void case_blocks(void) {
  for (int i = 0; i < 3; i++)
    kept[i] = malloc(100);
  KEEP_FRAME();
}

int main(int count, char **arguments) {
  names = arguments;
  struct stat status;
  int file = open(arguments[1], O_RDONLY);
  require(file >= 0 && fstat(file, &status) == 0, 10);
  void *code = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  require(code != MAP_FAILED, 11);
  pthread_t thread;
  if (count > 2)
    require(pthread_create(&thread, NULL, exchange, NULL) == 0, 12);
  step();
  case_blocks();
  step();
  return 0;
}
