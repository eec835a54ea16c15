// C++: each way to allocate, containers, smart pointers and pools, kept and lost.
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "leaks.h"

static void *volatile roots[64];
static int next_root;
template <class T> static T *keep(T *pointer) {
  roots[next_root++] = const_cast<std::remove_const_t<T> *>(pointer);
  return pointer;
}

// Gives a pointer up: nothing knows it any more.
template <class T> static void drop(T *pointer) { __asm__ volatile("" ::"r"(pointer) : "memory"); }

struct Small {
  NOINLINE Small() : values{1, 2, 3} {}
  uint64_t values[3];
};
struct alignas(64) Wide {
  NOINLINE Wide() : values{} {}
  uint64_t values[16];
};

// ---- Operators: one lost and one reachable of each, larger by 8 bytes or one element. -------------------------------
LEAK_CASE(new_object) {
  drop(new Small);
  keep(new Small);
}
LEAK_CASE(new_array) {
  drop(new Small[4]);
  keep(new Small[5]);
}
LEAK_CASE(new_characters) {
  drop(new char[100]());
  keep(new char[108]());
}
LEAK_CASE(new_nothrow) {
  drop(new (std::nothrow) Small);
  keep(new (std::nothrow) Small[2]);
}
LEAK_CASE(new_aligned) {
  drop(new Wide);
  keep(new Wide[2]);
}

// ---- C from C++: lost. ----------------------------------------------------------------------------------------------
LEAK_CASE(duplicated) { drop(strdup("twenty-six characters here")); }
LEAK_CASE(printed) {
  char *text = nullptr;
  require(asprintf(&text, "%0200d", 7) == 200, 10);
  drop(text);
  text = nullptr;
}
LEAK_CASE(line) {
  char *text = nullptr;
  size_t size = 0;
  FILE *file = fopen("/proc/self/comm", "r");
  require(file && getline(&text, &size, file) > 0, 11);
  fclose(file);
  drop(text);
  text = nullptr;
}

// ---- Much in use for a moment, little in the end. -------------------------------------------------------------------
// 10 MB go, 10 blocks of 96 bytes are lost.
LEAK_CASE(peak) {
  std::vector<std::unique_ptr<char[]>> many;
  for (int i = 0; i < 1000; i++) {
    many.emplace_back(new char[10000]);
    if (i % 100 == 0)
      drop(new char[96]());
  }
}

// Everything goes.
LEAK_CASE(nothing) {
  std::map<int, std::string> map;
  for (int i = 0; i < 500; i++)
    map[i] = std::string(50, 'x');
}

// ---- Containers: in use, lost as an object, or lost from one that stays. --------------------------------------------
using Names = std::vector<std::string>;

// The vector object 24, its elements 320, the texts 10 * 51 bytes: 12 reachable.
LEAK_CASE(vector_kept) { keep(new Names(10, std::string(50, 'x'))); }
// 1 lost, 11 with it.
LEAK_CASE(vector_lost) { drop(new Names(10, std::string(50, 'x'))); }
// Short texts lie in their string, which so refers to itself: 1 lost, 1 with it.
LEAK_CASE(vector_of_short) { drop(new Names(10, std::string("short"))); }

// The map object and 100 nodes, each with a text: 201.
LEAK_CASE(map_kept) {
  auto *map = keep(new std::map<int, std::string>);
  for (int i = 0; i < 100; i++)
    (*map)[i] = std::string(40, 'x');
}
LEAK_CASE(map_lost) {
  auto *map = new std::map<int, std::string>;
  for (int i = 0; i < 100; i++)
    (*map)[i] = std::string(40, 'x');
  drop(map);
}
// Owned pointers are never deleted: 100 nodes and the map reachable, 50 blocks of 24 bytes reachable, 50 lost.
LEAK_CASE(map_of_pointers) {
  auto *map = keep(new std::map<int, Small *>);
  for (int i = 0; i < 100; i++)
    (*map)[i] = new Small;
  for (int i = 0; i < 50; i++)
    (*map)[i] = nullptr;
}
LEAK_CASE(list_kept) { keep(new std::list<Small>(50)); }
LEAK_CASE(list_lost) { drop(new std::list<Small>(50)); }
LEAK_CASE(hash_kept) {
  auto *map = keep(new std::unordered_map<int, std::string>(64));
  for (int i = 0; i < 60; i++)
    (*map)[i] = std::string(30, 'x');
}
LEAK_CASE(hash_lost) {
  auto *map = new std::unordered_map<int, std::string>(64);
  for (int i = 0; i < 60; i++)
    (*map)[i] = std::string(30, 'x');
  drop(map);
}

// ---- Smart pointers. ------------------------------------------------------------------------------------------------
struct Knot {
  std::shared_ptr<Knot> other;
  uint64_t payload[4] = {};
};

// Two that own each other: 1 lost, 1 with it.
LEAK_CASE(shared_cycle) {
  auto first = std::make_shared<Knot>(), second = std::make_shared<Knot>();
  first->other = second;
  second->other = first;
}

// Object and count apart: 1 lost, 1 with it.
LEAK_CASE(shared_lost) {
  auto *pointer = new std::shared_ptr<Small>(new Small);
  void *volatile *words = reinterpret_cast<void *volatile *>(pointer);
  drop(words);
}

// make_shared, of which only the object's address is kept, within the block: 1 reachable, 1 possibly lost.
LEAK_CASE(shared_object_only) {
  auto *pointer = keep(new std::shared_ptr<Small>(std::make_shared<Small>()));
  const void *object = pointer->get();
  put(pointer, 0, object);
  put(pointer, 8, nullptr);
}

LEAK_CASE(released) {
  auto owner = std::make_unique<Small>();
  drop(owner.release());
}

// A function object too large for its wrapper: 1 lost, 1 with it.
LEAK_CASE(function) {
  uint64_t captured[8] = {1, 2, 3};
  drop(new std::function<uint64_t()>([captured] { return captured[0]; }));
}

// ---- An exception that skips the delete. ----------------------------------------------------------------------------
NOINLINE static void fail() {
  KEEP_FRAME();
  throw 1;
}
LEAK_CASE(exception) {
  try {
    Small *object = new Small;
    drop(object);
    fail();
    delete object;
  } catch (int) {
  }
}

// ---- A pool that hands out parts of its chunks. ---------------------------------------------------------------------
struct Pool {
  std::vector<char *> chunks;
  size_t used = 4096;
  NOINLINE void *allocate(size_t size) {
    if (used + size > 4096) {
      chunks.push_back(static_cast<char *>(block(4096)));
      used = 0;
    }
    used += size;
    return chunks.back() + used - size;
  }
};
struct Record {
  Record *next;
  char *text;
};

static inline __attribute__((always_inline)) Pool *make_pool() {
  Pool *pool = new Pool;
  Record *last = nullptr;
  for (int i = 0; i < 1000; i++) {
    Record *record = static_cast<Record *>(pool->allocate(sizeof(Record)));
    record->next = last;
    record->text = static_cast<char *>(block(20));
    last = record;
  }
  return pool;
}
// The pool 32, its vector 32, 4 chunks of 4,096, 1,000 texts of 20 bytes: reachable.
LEAK_CASE(pool_kept) { keep(make_pool()); }
// 1 lost, 1,005 with it.
LEAK_CASE(pool_lost) { drop(make_pool()); }

// ---- Globals: what their destructors free is not there at the end. --------------------------------------------------
// Nothing is left of these.
static std::vector<std::string> global_vector;
static std::unique_ptr<Small> global_owner;
LEAK_CASE(global_containers) {
  global_vector.assign(20, std::string(60, 'x'));
  global_owner.reset(new Small);
}
// 1 reachable.
static Small *volatile global_pointer;
LEAK_CASE(global_pointer) { global_pointer = new Small; }

static const leak_case cases[] = {
    CASE_ENTRY(new_object), CASE_ENTRY(new_array), CASE_ENTRY(new_characters), CASE_ENTRY(new_nothrow),
    CASE_ENTRY(new_aligned), CASE_ENTRY(vector_kept), CASE_ENTRY(vector_lost), CASE_ENTRY(vector_of_short),
    CASE_ENTRY(map_kept), CASE_ENTRY(map_lost), CASE_ENTRY(map_of_pointers), CASE_ENTRY(list_kept),
    CASE_ENTRY(list_lost), CASE_ENTRY(hash_kept), CASE_ENTRY(hash_lost), CASE_ENTRY(shared_cycle),
    CASE_ENTRY(shared_lost), CASE_ENTRY(shared_object_only), CASE_ENTRY(released), CASE_ENTRY(function),
    CASE_ENTRY(pool_kept), CASE_ENTRY(pool_lost), CASE_ENTRY(duplicated), CASE_ENTRY(printed), CASE_ENTRY(line),
    CASE_ENTRY(exception), CASE_ENTRY(peak), CASE_ENTRY(nothing), CASE_ENTRY(global_containers),
    CASE_ENTRY(global_pointer),
};

int main(int, char **argv) { RUN_CASES(cases, argv); }
