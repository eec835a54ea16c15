// Programs that a tracer attaches to while they run. live CASE; each step is one line of input, see steps.h.
#include <pthread.h>
#include <stdatomic.h>

#include "leaks.h"

enum { SIZE = 48 };

static void settle(void) {
  wipe_stack();
  wipe_registers();
  step();
}

// ---- Memory from before the attach. ---------------------------------------------------------------------------------
static Root old_root, new_root, grown_root;

NOINLINE static void before_attach(void) {
  old_root = block(SIZE);
  put(old_root, 8, block(4000));
  grown_root = block(200);
}

// 4 lost.
NOINLINE static void after_lost(void) {
  for (int i = 0; i < 4; i++)
    block(SIZE);
}

// 1 reachable from data, and from that 1 more.
NOINLINE static void after_kept(void) {
  new_root = block(SIZE);
  put(new_root, 0, block(SIZE));
}

// 3 reachable from blocks that were there before: directly, at the end of a large one, and through a new one.
NOINLINE static void after_in_old(void) {
  put(old_root, 16, block(SIZE));
  void *large = get(old_root, 8), *first = block(SIZE);
  put(large, 3992, first);
  put(first, 24, block(SIZE));
}

// An old block, resized under the tracer's eyes, keeps 1 reachable, itself a second.
NOINLINE static void after_grown(void) {
  grown_root = realloc(grown_root, 10000);
  memset((char *)grown_root + 200, 0, 10000 - 200);
  put(grown_root, 9000, block(SIZE));
}

static void attached(void) {
  before_attach();
  settle();
  after_lost();
  after_kept();
  after_in_old();
  after_grown();
  settle();
}

// ---- A pointer that is dropped between two checks. ------------------------------------------------------------------
static Root dropped_root;

// 1 reachable, and 1 it refers to.
NOINLINE static void dropped_later(void) {
  dropped_root = block(SIZE);
  put(dropped_root, 0, block(SIZE));
}

static void drop(void) {
  settle();
  dropped_later();
  settle();
  // Now 1 lost, and 1 with it.
  dropped_root = NULL;
  settle();
}

// ---- Pointers in registers only. ------------------------------------------------------------------------------------
static atomic_int spinning;
static volatile int may_stop;

// Spins with the block in a general register. Reachable.
NOINLINE static void *spin_general(void *unused) {
  void *b = block(SIZE);
  wipe_stack();
  spinning++;
  __asm__ volatile("mov %0, %%r14\n\txor %0, %0\n1:\tpause\n\tcmpl $0, %1\n\tje 1b\n\txor %%r14d, %%r14d"
                   : "+r"(b) : "m"(may_stop) : "r14", "memory", "cc");
  return unused;
}

// In the upper half of a vector register.
NOINLINE static void *spin_vector(void *unused) {
  void *b = block(SIZE);
  wipe_stack();
  spinning++;
  __asm__ volatile("movq %0, %%xmm9\n\tpslldq $8, %%xmm9\n\txor %0, %0\n1:\tpause\n\tcmpl $0, %1\n\tje 1b\n\t"
                   "pxor %%xmm9, %%xmm9"
                   : "+r"(b) : "m"(may_stop) : "xmm9", "memory", "cc");
  return unused;
}

static void registers(void) {
  pthread_t threads[2];
  settle();
  require(pthread_create(&threads[0], NULL, spin_general, NULL) == 0, 10);
  require(pthread_create(&threads[1], NULL, spin_vector, NULL) == 0, 11);
  while (spinning < 2)
    usleep(1000);
  settle();
  may_stop = 1;
  for (int i = 0; i < 2; i++)
    require(pthread_join(threads[i], NULL) == 0, 12);
  // Now 2 lost.
  settle();
}

// ---- A server under load: requests wander between threads, never lost but for every thousandth. ---------------------
enum { WORKERS = 4 };
struct request {
  struct request *next;
  char *body;
  struct request *copy;
};
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *volatile queue_first;
static int volatile queue_length, must_stop;
static atomic_long lost_requests;
static __thread struct request *volatile cached;

NOINLINE static char *serve_body(size_t size) {
  char *body = malloc(size);
  memset(body, 'x', size);
  return body;
}

NOINLINE static struct request *serve_request(unsigned number) {
  struct request *request = calloc(1, sizeof *request);
  request->body = serve_body(16 + number % 700);
  request->copy = calloc(1, sizeof *request);
  return request;
}

NOINLINE static void serve_free(struct request *request) {
  free(request->body);
  free(request->copy);
  free(request);
}

// Lost, 80 bytes each.
NOINLINE static void serve_lost(void) {
  block(80);
  lost_requests++;
}

static void enqueue(struct request *request) {
  pthread_mutex_lock(&queue_lock);
  request->next = queue_first;
  queue_first = request;
  queue_length++;
  pthread_mutex_unlock(&queue_lock);
}

static struct request *dequeue(void) {
  pthread_mutex_lock(&queue_lock);
  struct request *request = queue_first;
  if (request) {
    queue_first = request->next;
    request->next = NULL;
    queue_length--;
  }
  pthread_mutex_unlock(&queue_lock);
  return request;
}

NOINLINE static void *serve(void *seed) {
  unsigned random = (unsigned)(uintptr_t)seed;
  for (unsigned number = 1; !must_stop; number++) {
    random = random * 1664525u + 1013904223u;
    // From the queue into a register, into this thread's cache, its text grown, and back or away.
    struct request *request = queue_length > 500 || random >> 31 ? dequeue() : NULL;
    if (!request)
      request = serve_request(random >> 8);
    struct request *previous = cached;
    cached = request;
    if (previous) {
      previous->body = realloc(previous->body, 16 + (random >> 12) % 3000);
      if (random >> 30 & 1)
        serve_free(previous);
      else
        enqueue(previous);
    }
    if (number % 1000 == 0)
      serve_lost();
    // The load is to last, not to fill the machine.
    if (number % 100 == 0)
      usleep(2000);
  }
  return NULL;
}

// After the first step it serves, after the second it stops and prints how many blocks are lost.
static void server(void) {
  pthread_t threads[WORKERS];
  settle();
  for (uintptr_t i = 0; i < WORKERS; i++)
    require(pthread_create(&threads[i], NULL, serve, (void *)i) == 0, 13);
  settle();
  must_stop = 1;
  for (int i = 0; i < WORKERS; i++)
    require(pthread_join(threads[i], NULL) == 0, 14);
  char line[40];
  snprintf(line, sizeof line, "lost %ld\n", (long)lost_requests);
  say(line);
  settle();
}

// ---- A leak that goes on while reports are made. --------------------------------------------------------------------
// One block in 5 ms, 200 in all, and as many that are kept in a list.
static Root ongoing_root;
NOINLINE static void ongoing_lost(void) { block(SIZE); KEEP_FRAME(); }
NOINLINE static void ongoing_kept(void) {
  void *b = block(SIZE);
  put(b, 0, ongoing_root);
  ongoing_root = b;
}
static void ongoing(void) {
  settle();
  for (int i = 0; i < 200; i++) {
    ongoing_lost();
    ongoing_kept();
    wipe_stack();
    wipe_registers();
    usleep(5000);
  }
  settle();
}

static const struct {
  const char *name;
  void (*function)(void);
} cases[] = {
    {"attached", attached}, {"drop", drop}, {"registers", registers}, {"server", server}, {"ongoing", ongoing},
};

int main(int argc, char **argv) {
  require(argc == 2, 15);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (strcmp(argv[1], cases[i].name) == 0)
      cases[i].function();
  exit(0);
}
