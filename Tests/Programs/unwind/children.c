// Stacks in children that share their parent's memory: children CHILDREN. Each of vfork calls `checkpoint`; those of
// posix_spawn call dup2, as the C library does on a stack of its own.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"

#define FUNCTION __attribute__((noinline, noclone))

FUNCTION static void nest(int depth) {
  if (depth > 0)
    nest(depth - 1);
  else
    checkpoint();
  AFTER_CALL();
}

FUNCTION static void with_vfork(int depth) {
  pid_t child = vfork();
  if (child == 0) {
    nest(depth);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

FUNCTION static void with_spawn(void) {
  posix_spawn_file_actions_t actions;
  char *arguments[] = {"true", NULL};
  pid_t child;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, 1, 9);
  if (posix_spawn(&child, "/bin/true", &actions, NULL, arguments, NULL) == 0)
    waitpid(child, NULL, 0);
  posix_spawn_file_actions_destroy(&actions);
}

int main(int count, char **arguments) {
  int children = count > 1 ? atoi(arguments[1]) : 1;
  // The parent's mappings are known from here on.
  checkpoint();
  dup2(1, 9);
  for (int i = 0; i < children; i++) {
    with_vfork(i % 10);
    with_spawn();
  }
  return 0;
}
