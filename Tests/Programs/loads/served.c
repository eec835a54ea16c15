// A service: reads lines from the FIFO in its argument. `work` takes and gives back a block, `leak N` forgets one of N bytes,
// `cache` keeps one block for good the first time. Each is answered in the file `answers` beside the FIFO.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile forgotten;
static void *volatile cached;

__attribute__((noinline)) static void leak(size_t size) { forgotten = malloc(size); }

__attribute__((noinline)) static void work(void) {
  char *volatile block = malloc(5000);
  free(block);
}

int main(int argc, char **argv) {
  char line[100], path[4096];
  if (argc != 2)
    return 2;
  snprintf(path, sizeof(path), "%s.answers", argv[1]);
  // Opened for writing, too, so that it never ends.
  FILE *requests = fopen(argv[1], "r+"), *answers = fopen(path, "w");
  if (!requests || !answers)
    return 3;
  setbuf(requests, NULL);
  setbuf(answers, NULL);
  while (fgets(line, sizeof(line), requests)) {
    if (strncmp(line, "leak ", 5) == 0)
      leak(strtoul(line + 5, NULL, 10));
    else if (strcmp(line, "cache\n") == 0 && !cached)
      cached = malloc(70000);
    else
      work();
    fputs("done\n", answers);
  }
  return 0;
}
