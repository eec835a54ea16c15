// Leaks as people write them: nothing is wiped before the end, so registers and the stack hold what is left over. Each run
// does the one case named, and ends as programs do.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include <deque>
#include <list>
#include <memory>
#include <string>

#include "../steps.h"

#define PLAIN_CASE(name) NOINLINE static void case_##name()

// 96 lost, and the stack is full of their addresses, also where exit(3) runs later.
NOINLINE static void case_deep__frame(int depth) {
  void *locals[16];
  for (int i = 0; i < 16; i++)
    locals[i] = malloc(static_cast<size_t>(16 + depth));
  if (depth > 0)
    case_deep__frame(depth - 1);
  __asm__ volatile("" ::"g"(locals) : "memory");
}
PLAIN_CASE(deep) {
  case_deep__frame(5);
  KEEP_FRAME();
}

// 1 lost, and 10 with it. Nodes are linked by pairs of pointers in vector registers.
PLAIN_CASE(list) {
  auto *list = new std::list<int>;
  for (int i = 0; i < 10; i++)
    list->push_back(i);
}

// 1 lost, and with it its table and 7 pieces of 512 bytes.
PLAIN_CASE(deque) {
  auto *deque = new std::deque<uint64_t>;
  for (uint64_t i = 0; i < 400; i++)
    deque->push_back(i);
}

// 1 lost, and 2 with it.
struct Member {
  std::shared_ptr<Member> other;
  uint64_t data[5] = {};
};
PLAIN_CASE(shared_cycle) {
  std::shared_ptr<Member> first(new Member), second(new Member);
  first->other = second;
  second->other = first;
}

// The last call but one leaves its address below the stack pointer. 1 lost.
NOINLINE static void case_left_below__frame(char *text) {
  char *volatile copy = text;
  say(copy);
}
PLAIN_CASE(left_below) {
  char *text = strdup("lost\n");
  case_left_below__frame(text);
  _exit(0);
}

static void start(void *(*function)(void *), bool isDetached, pthread_t *thread) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, isDetached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
  require(pthread_create(thread, &attributes, function, nullptr) == 0, 10);
  pthread_attr_destroy(&attributes);
}

// As many threads as the kernel shows.
static void wait_for_end_of_threads() {
  for (;;) {
    FILE *status = fopen("/proc/self/status", "r");
    require(status != nullptr, 11);
    char line[200];
    int count = 0;
    while (fgets(line, sizeof line, status))
      if (sscanf(line, "Threads: %d", &count) == 1)
        break;
    fclose(status);
    if (count == 1)
      return;
    usleep(1000);
  }
}

// Lost: nobody can ask for the result of a thread that is detached or joined, but it is still there.
NOINLINE static void *case_detached_result__thread(void *) {
  void *result = malloc(48);
  KEEP_FRAME();
  return result;
}
PLAIN_CASE(detached_result) {
  pthread_t thread;
  start(case_detached_result__thread, true, &thread);
  wait_for_end_of_threads();
}
NOINLINE static void *case_joined_result__thread(void *) {
  void *result = malloc(48);
  KEEP_FRAME();
  return result;
}
PLAIN_CASE(joined_result) {
  pthread_t thread;
  start(case_joined_result__thread, false, &thread);
  require(pthread_join(thread, nullptr) == 0, 12);
}

// Reachable: it can still be joined.
NOINLINE static void *case_unjoined_result__thread(void *) {
  void *result = malloc(48);
  KEEP_FRAME();
  return result;
}
PLAIN_CASE(unjoined_result) {
  static pthread_t thread;
  start(case_unjoined_result__thread, false, &thread);
  wait_for_end_of_threads();
}

// Lost: in variables and under a key of a thread that has ended. 2.
static thread_local void *variable;
static pthread_key_t keys[40];
NOINLINE static void *case_ended_keeper__thread(void *) {
  variable = malloc(48);
  require(pthread_setspecific(keys[39], malloc(48)) == 0, 13);
  return nullptr;
}
PLAIN_CASE(ended_keeper) {
  for (auto &key : keys)
    require(pthread_key_create(&key, nullptr) == 0, 14);
  pthread_t thread;
  start(case_ended_keeper__thread, false, &thread);
  require(pthread_join(thread, nullptr) == 0, 15);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*function)();
  } cases[] = {
      {"deep", case_deep},
      {"list", case_list},
      {"deque", case_deque},
      {"shared_cycle", case_shared_cycle},
      {"left_below", case_left_below},
      {"detached_result", case_detached_result},
      {"joined_result", case_joined_result},
      {"unjoined_result", case_unjoined_result},
      {"ended_keeper", case_ended_keeper},
  };
  require(argc == 2, 16);
  for (const auto &entry : cases)
    if (strcmp(entry.name, argv[1]) == 0)
      entry.function();
  return 0;
}
