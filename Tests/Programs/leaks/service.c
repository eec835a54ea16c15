// A service for comparisons: serves so many requests and ends. What it leaks is chosen when it is built:
// -DFIXED nothing, -DPARTLY less places, -DWORSE more blocks, -DMOVED the same from other lines and another helper.
//   service REQUESTS [skip]      skip: the second place is never reached
#include <stdlib.h>
#include <string.h>

#define KEPT __attribute__((noinline, noclone))

static volatile char sink;

KEPT static void respond(int request) {
  char *text = malloc(64 + request % 7);
  text[0] = 1;
  sink = text[0];
  free(text);
}

#ifdef MOVED
static inline __attribute__((always_inline)) void *duplicate(size_t size) {
  void *copy = malloc(size);


  return copy;
}
#define ALLOCATE duplicate
#else
#define ALLOCATE malloc
#endif

KEPT static void parse(int request) {
#ifdef MOVED
  if (request < 0)
    return;
#endif
  char *field = ALLOCATE(100);
  field[0] = 2;
  sink = field[0];
#ifdef FIXED
  free(field);
#else
  if (request % 10)
    free(field);
#endif
#ifdef WORSE
  for (int i = 0; i < 3; i++) {
    field = ALLOCATE(100);
    field[0] = 2;
    sink = field[0];
  }
#endif
}

KEPT static void remember(int request) {
  if (request % 4)
    return;
  char *line = malloc(40);
  line[0] = 3;
  sink = line[0];
#if defined(FIXED) || defined(PARTLY)
  free(line);
#endif
}

int main(int count, char **arguments) {
  int requests = count > 1 ? atoi(arguments[1]) : 1000;
  int skips = count > 2 && !strcmp(arguments[2], "skip");
  for (int request = 1; request <= requests; request++) {
    respond(request);
    parse(request);
    if (!skips)
      remember(request);
  }
  // What the last calls left in registers and on the stack is no pointer any more.
  char scratch[4096];
  memset(scratch, 0, sizeof scratch);
  sink = scratch[sink & 1];
  return 0;
}
