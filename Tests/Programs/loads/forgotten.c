// Sessions that are closed as a rule, and forgotten now and then: where are they freed?
// usage: forgotten COUNT: opens so many; each 20th is forgotten, each 4th of the others is freed by expire.
#include <stdlib.h>

struct session {
  char data[120];
};

__attribute__((noinline)) static struct session *session_open(void) { return malloc(sizeof(struct session)); }

__attribute__((noinline)) static void session_close(struct session *session) { free(session); }

__attribute__((noinline)) static void expire(struct session *session) { free(session); }

__attribute__((noinline)) static void handle(int number) {
  struct session *session = session_open();
  if (number % 20 == 0)
    return;
  if (number % 4 == 1)
    expire(session);
  else
    session_close(session);
}

int main(int count, char **arguments) {
  int sessions = count > 1 ? atoi(arguments[1]) : 1000;
  for (int i = 0; i < sessions; i++)
    handle(i);
  return 0;
}
