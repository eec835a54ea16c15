// Leaks among threads that allocate at once, and in processes that a process has forked. What a child allocates comes
// from functions `case_NAME__child`.
#include <pthread.h>
#include <sys/wait.h>

#include "leaks.h"

enum { SIZE = 48 };

// ---- Many threads, much coming and going. ---------------------------------------------------------------------------
enum { THREADS = 8, ROUNDS = 5000 };
static Root kept_lists[THREADS];

// Every hundredth block is lost, the one after it goes into a list that is kept.
NOINLINE static void *case_contention__thread(void *argument) {
  void *volatile *list = &kept_lists[(uintptr_t)argument];
  for (int i = 0; i < ROUNDS; i++) {
    void *b = block(SIZE + i % 7 * 16);
    if (i % 100 == 0)
      continue;
    if (i % 100 == 1) {
      put(b, 0, *list);
      *list = b;
    } else {
      free(b);
    }
  }
  wipe_stack();
  return NULL;
}

// 8 * 50 lost, 8 * 50 reachable.
LEAK_CASE(contention) {
  pthread_t threads[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++)
    require(pthread_create(&threads[i], NULL, case_contention__thread, (void *)i) == 0, 10);
  for (int i = 0; i < THREADS; i++)
    require(pthread_join(threads[i], NULL) == 0, 11);
}

// ---- Children. ------------------------------------------------------------------------------------------------------
// Runs a function in a child, which then ends.
static void in_child(void (*function)(void)) {
  pid_t child = fork();
  require(child >= 0, 12);
  if (child == 0) {
    function();
    wipe_stack();
    wipe_registers();
    _exit(0);
  }
  int status;
  require(waitpid(child, &status, 0) == child && status == 0, 13);
}

static Root fork_root, child_root, inherited_holder, inherited_ring;

// The child: 3 lost, 1 reachable through a variable of its own. The parent: 1 lost, 1 reachable.
NOINLINE static void case_fork__child(void) {
  for (int i = 0; i < 3; i++)
    block(SIZE);
  child_root = block(SIZE);
}
LEAK_CASE(fork) {
  block(SIZE);
  fork_root = block(SIZE);
  in_child(case_fork__child);
}

// The child's block is held by one that it has inherited: reachable. So is the parent's.
NOINLINE static void case_fork_holder__child(void) { put(inherited_holder, 8, block(SIZE)); }
LEAK_CASE(fork_holder) {
  inherited_holder = block(SIZE);
  in_child(case_fork_holder__child);
}

// The child gives up what it has inherited, and with it a block of its own: lost there, reachable in the parent.
NOINLINE static void case_fork_given_up__child(void) {
  put(inherited_ring, 0, block(SIZE));
  inherited_ring = NULL;
}
LEAK_CASE(fork_given_up) {
  inherited_ring = block(SIZE);
  in_child(case_fork_given_up__child);
}

// A thread of the parent that the child does not have. The child: 1 lost, 1 reachable.
static Root threaded_root;
static int volatile has_started;
NOINLINE static void *wait_for_ever(void *unused) {
  has_started = 1;
  for (;;)
    pause();
  return unused;
}
NOINLINE static void case_fork_threaded__child(void) {
  block(SIZE);
  threaded_root = block(SIZE);
}
LEAK_CASE(fork_threaded) {
  pthread_t thread;
  require(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0, 14);
  while (!has_started)
    usleep(1000);
  in_child(case_fork_threaded__child);
}

// A child of a child: 2 lost there, 1 lost in between.
NOINLINE static void case_fork_twice__grandchild(void) {
  block(SIZE);
  block(SIZE);
}
NOINLINE static void case_fork_twice__child(void) {
  block(SIZE);
  in_child(case_fork_twice__grandchild);
}
LEAK_CASE(fork_twice) { in_child(case_fork_twice__child); KEEP_FRAME(); }

static const struct leak_case cases[] = {
    CASE_ENTRY(contention), CASE_ENTRY(fork), CASE_ENTRY(fork_holder), CASE_ENTRY(fork_given_up),
    CASE_ENTRY(fork_threaded), CASE_ENTRY(fork_twice),
};

int main(int argc, char **argv) {
  (void)argc;
  RUN_CASES(cases, argv);
}
