// Leaks planted at random among live blocks in containers that grow and shrink: planted LEAKS LIVE [SEED]. Prints how
// many blocks and bytes it has lost in all. What is lost comes from functions `planted_…`, all else from `live_…`.
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "leaks.h"

// SplitMix64.
static uint64_t random_state;
static uint64_t next_random() {
  uint64_t value = random_state += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}
static size_t below(size_t limit) { return next_random() % limit; }

// ---- What lives. ----------------------------------------------------------------------------------------------------
struct Item {
  Item *left = nullptr, *right = nullptr, *parent = nullptr;
  uint64_t key = 0;
  char *text = nullptr;
  ~Item() { delete[] text; }
};

struct World {
  std::map<uint64_t, std::string> map;
  std::unordered_map<std::string, std::unique_ptr<Item>> hash;
  std::vector<std::vector<char>> vectors;
  std::list<std::shared_ptr<Item>> list;
  std::deque<std::string *> deque;
  std::forward_list<std::string> forward;
  Item *tree = nullptr;
  // Linked to the left, known by its end.
  Item *last = nullptr;
  // Things that nobody will delete.
  std::map<uint64_t, char *> doomed;
};
// No destructor runs at the end.
static World *volatile world_root;
static World &world() { return *world_root; }

static std::string text(size_t limit) { return std::string(1 + below(limit), static_cast<char>('a' + below(26))); }

NOINLINE static void live_map() {
  world().map[next_random()] = text(100);
  if (below(6) == 0)
    world().map.erase(world().map.begin());
}

NOINLINE static void live_hash() {
  auto item = std::make_unique<Item>();
  item->text = new char[8 + below(64)]();
  world().hash[text(40) + std::to_string(next_random())] = std::move(item);
  if (below(6) == 0)
    world().hash.erase(world().hash.begin());
}

NOINLINE static void live_vectors() {
  world().vectors.emplace_back(1 + below(300));
  if (below(6) == 0) {
    std::swap(world().vectors[below(world().vectors.size())], world().vectors.back());
    world().vectors.pop_back();
  }
}

NOINLINE static void live_list() {
  auto item = std::make_shared<Item>();
  item->text = new char[8 + below(64)]();
  world().list.push_back(std::move(item));
  if (below(6) == 0)
    world().list.pop_front();
}

NOINLINE static void live_deque() {
  world().deque.push_back(new std::string(text(60)));
  if (below(6) == 0) {
    delete world().deque.front();
    world().deque.pop_front();
  }
}

NOINLINE static void live_forward() {
  world().forward.push_front(text(60));
  if (below(6) == 0)
    world().forward.pop_front();
}

NOINLINE static void live_tree() {
  Item *item = new Item;
  item->key = next_random();
  item->text = new char[8 + below(64)]();
  Item **place = &world().tree;
  while (*place) {
    item->parent = *place;
    place = item->key < (*place)->key ? &(*place)->left : &(*place)->right;
  }
  *place = item;
}

NOINLINE static void live_chain() {
  Item *item = new Item;
  item->left = world().last;
  item->text = new char[8 + below(64)]();
  world().last = item;
  if (below(6) == 0) {
    world().last = item->left;
    delete item;
  }
}

static void (*const live_kinds[])() = {live_map,   live_hash,    live_vectors, live_list,
                                       live_deque, live_forward, live_tree,    live_chain};

// ---- What is lost. --------------------------------------------------------------------------------------------------
static uint64_t lost_blocks, lost_bytes;

static inline __attribute__((always_inline)) void *lose(size_t size) {
  lost_blocks++;
  lost_bytes += size;
  return block(size);
}

NOINLINE static void planted_single() { lose(16 + below(500)); }

NOINLINE static void planted_chain() {
  void *next = nullptr;
  for (size_t i = 1 + below(5); i > 0; i--) {
    void *node = lose(24 + below(40));
    put(node, 8, next);
    next = node;
  }
}

NOINLINE static void planted_ring() {
  void *first = lose(32), *previous = first;
  for (size_t i = below(5); i > 0; i--) {
    void *node = lose(32);
    put(node, 0, previous);
    previous = node;
  }
  put(first, 0, previous);
}

NOINLINE static void planted_tree() {
  void *root = lose(48);
  for (int i = 0; i < 4; i++) {
    void *child = lose(40);
    put(root, 8 * i, child);
    put(child, 0, root);
    if (below(2))
      put(child, 16, lose(16 + below(100)));
  }
}

// A container that nobody deletes, counted from what it must allocate: itself, nodes, and no text longer than fits.
NOINLINE static void planted_container() {
  auto *map = new std::map<uint64_t, uint64_t>;
  size_t count = 1 + below(8);
  for (size_t i = 0; i < count; i++)
    (*map)[i] = next_random();
  lost_blocks += 1 + count;
  lost_bytes += sizeof *map + 48 * count;
}

// It refers to what lives, which helps it nothing.
NOINLINE static void planted_observer() {
  void *observer = lose(64);
  put(observer, 0, world().tree);
  put(observer, 8, &world());
}

// In use for a while, then forgotten by a container: the freed node still points to it.
NOINLINE static char *planted_forgotten() { return static_cast<char *>(lose(40 + below(200))); }
NOINLINE static void live_doomed() {
  world().doomed[next_random()] = planted_forgotten();
  if (below(4) != 0)
    world().doomed.erase(world().doomed.begin());
}

static void (*const planted_kinds[])() = {planted_single, planted_chain,     planted_ring,     planted_tree,
                                          planted_single, planted_container, planted_observer, live_doomed};

NOINLINE static World *live_world() { return new World; }

int main(int argc, char **argv) {
  require(argc >= 3, 10);
  size_t leaks = strtoul(argv[1], nullptr, 10), live = strtoul(argv[2], nullptr, 10);
  random_state = argc > 3 ? strtoul(argv[3], nullptr, 10) : 1;
  step();
  world_root = live_world();
  // Each live step leaves two blocks or a little more, on average.
  for (size_t left = live / 2; leaks + left > 0;) {
    if (below(leaks + left) < leaks) {
      planted_kinds[below(8)]();
      leaks--;
    } else {
      live_kinds[below(8)]();
      left--;
    }
  }
  // The rest is forgotten at the end.
  world().doomed.clear();
  wipe_stack();
  wipe_registers();
  char line[100];
  snprintf(line, sizeof line, "lost %llu %llu\n", static_cast<unsigned long long>(lost_blocks),
           static_cast<unsigned long long>(lost_bytes));
  say(line);
  step();
  exit(0);
}
