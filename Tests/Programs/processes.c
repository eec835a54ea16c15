// Processes that fork, run other programs and end. processes CASE
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "steps.h"

extern char **environ;
static const char *program;
static void *volatile kept[64];

static void wait_for(pid_t child) {
  int status;
  require(waitpid(child, &status, 0) == child && status == 0, 10);
}

// What the other program does: 2 blocks of 150 bytes, of which one stays.
NOINLINE static void leaf_function(void) {
  kept[0] = malloc(150);
  free(kept[0]);
  kept[0] = malloc(150);
}

static char *leaf_arguments[] = {(char *)"leaf", (char *)"leaf", NULL};

NOINLINE static void in_parent(size_t size, int count) {
  for (int i = 0; i < count; i++)
    kept[i] = malloc(size);
}

NOINLINE static void in_child(size_t size, int count) {
  for (int i = 0; i < count; i++)
    kept[32 + i] = malloc(size);
}

// 3 · 100 bytes in the parent; 5 · 200 in the child at once, one freed.
NOINLINE static void case_fork(void) {
  in_parent(100, 3);
  pid_t child = fork();
  if (child == 0) {
    in_child(200, 5);
    free(kept[32]);
    _exit(0);
  }
  wait_for(child);
}

// Of the parent's 10 · 64 bytes the child frees its copies of 4; then the parent frees 2.
NOINLINE static void case_inherited(void) {
  in_parent(64, 10);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 4; i++)
      free(kept[i]);
    in_child(32, 1);
    _exit(0);
  }
  wait_for(child);
  free(kept[8]);
  free(kept[9]);
}

NOINLINE static void case_grandchild(void) {
  in_parent(11, 1);
  pid_t child = fork();
  if (child == 0) {
    in_child(22, 2);
    pid_t grandchild = fork();
    if (grandchild == 0) {
      in_child(33, 3);
      _exit(0);
    }
    wait_for(grandchild);
    _exit(0);
  }
  wait_for(child);
}

// 8 children one after the other, each with blocks of its own.
NOINLINE static void case_storm(void) {
  for (int i = 1; i <= 8; i++) {
    pid_t child = fork();
    if (child == 0) {
      in_child(i, 3);
      _exit(0);
    }
    wait_for(child);
  }
}

// 6 children at the same time.
NOINLINE static void case_crowd(void) {
  pid_t children[6];
  for (int i = 0; i < 6; i++) {
    children[i] = fork();
    if (children[i] == 0) {
      in_child(100 + i, 2);
      _exit(0);
    }
  }
  for (int i = 0; i < 6; i++)
    wait_for(children[i]);
}

NOINLINE static void case_exec_in_child(void) {
  in_parent(50, 1);
  pid_t child = fork();
  if (child == 0) {
    in_child(70, 1);
    execv(program, leaf_arguments);
    _exit(11);
  }
  wait_for(child);
}

NOINLINE static void case_exec(void) {
  in_parent(81, 2);
  execv(program, leaf_arguments);
  _exit(12);
}

NOINLINE static void case_vfork(void) {
  in_parent(51, 1);
  pid_t child = vfork();
  if (child == 0) {
    execv(program, leaf_arguments);
    _exit(13);
  }
  wait_for(child);
}

NOINLINE static void case_spawn(void) {
  in_parent(52, 1);
  pid_t child;
  require(posix_spawn(&child, program, NULL, NULL, leaf_arguments, environ) == 0, 14);
  wait_for(child);
}

// Sets the process id after which the kernel gives out the next one.
static void set_last_id(pid_t id) {
  char text[16];
  int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
  require(file >= 0, 15);
  ssize_t length = snprintf(text, sizeof(text), "%d", id);
  require(write(file, text, length) == length, 15);
  close(file);
}

// Two children, one after the other, under the same process id. Others may be given it in between: then once more.
NOINLINE static void case_same_id(void) {
  pid_t first = 0;
  for (int attempt = 0; attempt < 100; attempt++) {
    if (first)
      set_last_id(first - 1);
    pid_t child = fork();
    if (child == 0) {
      if (!first || getpid() == first)
        in_child(first ? 2000 : 1000, 2);
      _exit(0);
    }
    require(child > 0, 17);
    wait_for(child);
    if (child == first)
      return;
    if (!first)
      first = child;
  }
  _exit(18);
}

// Two processes with blocks at the same addresses: the parent does its part, then the child does, and both stay.
NOINLINE static void case_twins(void) {
  int to_child[2], to_parent[2];
  char byte = 0;
  require(pipe(to_child) == 0 && pipe(to_parent) == 0, 19);
  pid_t child = fork();
  if (child > 0) {
    close(to_child[0]);
    close(to_parent[1]);
    step();
    in_parent(400, 10);
    require(write(to_child[1], &byte, 1) == 1 && read(to_parent[0], &byte, 1) == 1, 20);
    step();
    close(to_child[1]);
    wait_for(child);
    return;
  }
  close(to_child[1]);
  close(to_parent[0]);
  require(read(to_child[0], &byte, 1) == 1, 21);
  in_parent(400, 10);
  for (int i = 0; i < 7; i++)
    free(kept[i]);
  require(write(to_parent[1], &byte, 1) == 1, 22);
  // Until the parent has seen enough, or is gone.
  if (read(to_child[0], &byte, 1) <= 0)
    _exit(0);
}

NOINLINE static void case_exit(void) {
  in_parent(91, 1);
  exit(3);
}

NOINLINE static void case_killed(void) {
  in_parent(92, 1);
  kill(getpid(), SIGTERM);
}

NOINLINE static void case_aborted(void) {
  in_parent(93, 1);
  abort();
}

// 4 of 10 blocks from before the step are freed after it.
NOINLINE static void case_before(void) {
  in_parent(1000, 10);
  step();
  for (int i = 0; i < 4; i++)
    free(kept[i]);
  kept[0] = realloc(kept[4], 2000);
  in_child(500, 2);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*function)(void);
  } cases[] = {
#define CASE(name) {#name, case_##name}
      CASE(fork), CASE(inherited), CASE(grandchild), CASE(storm), CASE(crowd), CASE(exec_in_child), CASE(exec),
      CASE(vfork), CASE(spawn), CASE(same_id), CASE(twins), CASE(exit), CASE(killed), CASE(aborted), CASE(before),
      {"leaf", leaf_function},
  };
  static char self[4096];
  require(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0, 16);
  program = self;
  int is_leaf = argc == 2 && strcmp(argv[1], "leaf") == 0;
  if (!is_leaf && strcmp(argv[argc - 1], "before") && strcmp(argv[argc - 1], "twins"))
    step();
  for (int argument = 1; argument < argc; argument++)
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
      if (strcmp(argv[argument], cases[i].name) == 0)
        cases[i].function();
  if (!is_leaf)
    step();
  return 0;
}
