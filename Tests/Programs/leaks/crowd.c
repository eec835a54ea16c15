// As many threads as its argument says, which sleep, and some blocks in a list.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "../steps.h"

struct entry {
  struct entry *next;
  char data[184];
};

struct entry *entries;

static void *rest(void *argument) {
  for (;;)
    usleep(100000);
  return argument;
}

int main(int count, char **arguments) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  for (int left = count > 1 ? atoi(arguments[1]) : 1; left > 0; left--) {
    pthread_t thread;
    require(!pthread_create(&thread, &attributes, rest, NULL), 1);
  }
  step();
  for (int i = 0; i < 20000; i++) {
    struct entry *entry = malloc(sizeof(*entry));
    entry->next = entries;
    entries = entry;
  }
  step();
  return 0;
}
