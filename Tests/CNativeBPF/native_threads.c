// Threads on one table, as programs run on several CPUs at once. The threads hand addresses to each other by relaxed
// atomics only, so that nothing but the table itself orders what one writes before what another reads: that is what
// ThreadSanitizer is to check.
#include <pthread.h>
#include <stdlib.h>

#include "native_bpf.h"

#define MOST_THREADS 16

struct worker {
  uint32_t number;
  uint32_t count, blocks;  // of threads; of blocks of each
  bool frees;
  uint64_t inserted, refused, taken, lost, wrong_payloads;
};

// How many of its blocks each thread has put in so far.
static uint32_t progress[MOST_THREADS];
// Whether each block of each thread is in the table: 1 when it was put in.
static unsigned char *is_recorded[MOST_THREADS];
static pthread_barrier_t barrier;

static uint64_t key_of(uint32_t thread, uint32_t block) {
  return lt_block_key(0x7f0000000000 + ((uint64_t)thread << 32) + (uint64_t)block * 16, 1, 1);
}

static uint64_t size_of_block(uint32_t thread, uint32_t block) { return 1 + thread * 100000ull + block; }

static void take(struct worker *worker, uint32_t owner, uint32_t block) {
  uint64_t size = 0;
  uint32_t site = 0;
  bool was_recorded = __atomic_load_n(&is_recorded[owner][block], __ATOMIC_RELAXED);
  if (!native_block_take(key_of(owner, block), &size, &site)) {
    worker->lost += was_recorded;
    return;
  }
  worker->taken++;
  if (!was_recorded || size != size_of_block(owner, block) || site != (owner * 7 + block) % 1000)
    worker->wrong_payloads++;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  uint32_t neighbour = (worker->number + 1) % worker->count, freed = 0;
  native_set_cpu(worker->number);
  pthread_barrier_wait(&barrier);
  for (uint32_t block = 0; block < worker->blocks; block++) {
    bool recorded = native_block_insert(key_of(worker->number, block), size_of_block(worker->number, block),
                                        (worker->number * 7 + block) % 1000);
    *(recorded ? &worker->inserted : &worker->refused) += 1;
    __atomic_store_n(&is_recorded[worker->number][block], recorded, __ATOMIC_RELAXED);
    __atomic_store_n(&progress[worker->number], block + 1, __ATOMIC_RELAXED);
    // Every other block of the neighbour goes at once, as far as there are any.
    uint32_t there = __atomic_load_n(&progress[neighbour], __ATOMIC_RELAXED);
    for (; worker->frees && freed < there; freed++)
      if (freed % 2)
        take(worker, neighbour, freed);
  }
  pthread_barrier_wait(&barrier);
  for (; worker->frees && freed < worker->blocks; freed++)
    if (freed % 2)
      take(worker, neighbour, freed);
  return NULL;
}

struct native_thread_run native_run_threads(uint32_t threads, uint32_t blocks_per_thread, uint32_t buckets,
                                            uint32_t capacity, bool frees) {
  struct lt_configuration values = {.block_buckets = buckets, .maximum_blocks = capacity, .site_count = 64};
  struct native_thread_run run = {};
  struct worker workers[MOST_THREADS] = {};
  pthread_t handles[MOST_THREADS];
  native_user_begin(&values);
  pthread_barrier_init(&barrier, NULL, threads);
  for (uint32_t i = 0; i < threads; i++) {
    is_recorded[i] = calloc(blocks_per_thread, 1);
    progress[i] = 0;
    workers[i] = (struct worker){.number = i, .count = threads, .blocks = blocks_per_thread, .frees = frees};
  }
  for (uint32_t i = 0; i < threads; i++)
    if (pthread_create(&handles[i], NULL, work, &workers[i]))
      abort();
  for (uint32_t i = 0; i < threads; i++) {
    pthread_join(handles[i], NULL);
    run.inserted += workers[i].inserted;
    run.refused += workers[i].refused;
    run.taken += workers[i].taken;
    run.lost += workers[i].lost;
    run.wrong_payloads += workers[i].wrong_payloads;
  }
  run.left = native_block_count();
  run.busy_places = native_busy_places();
  // What is left is taken out once, and then is not there again.
  for (uint32_t i = 0; i < threads; i++) {
    for (uint32_t block = 0; block < blocks_per_thread; block++) {
      uint64_t size = 0;
      uint32_t site = 0;
      bool is_there = native_block_take(key_of(i, block), &size, &site);
      run.lost += is_recorded[i][block] && !(frees && block % 2) && !is_there;
      run.wrong_payloads += is_there && size != size_of_block(i, block);
      run.doubled += is_there && native_block_take(key_of(i, block), &size, &site);
    }
    free(is_recorded[i]);
  }
  pthread_barrier_destroy(&barrier);
  return run;
}

// ---- Sites --------------------------------------------------------------------------------------------------------

struct site_worker {
  uint32_t sites;
  uint64_t called_new;
  uint32_t *indices;
};

static void *enter_sites(void *argument) {
  struct site_worker *worker = argument;
  pthread_barrier_wait(&barrier);
  for (uint32_t i = 0; i < worker->sites; i++) {
    struct native_site site = native_user_site(0x1000 + i * 2 + 1, 1, 1, 0, 0);
    worker->indices[i] = site.index;
    worker->called_new += site.is_new;
  }
  return NULL;
}

void native_run_site_threads(uint32_t threads, uint32_t sites, uint64_t *entered, uint64_t *called_new) {
  struct lt_configuration values = {.block_buckets = 8, .maximum_blocks = 8, .site_count = sites * 4};
  struct site_worker workers[MOST_THREADS] = {};
  pthread_t handles[MOST_THREADS];
  native_user_begin(&values);
  pthread_barrier_init(&barrier, NULL, threads);
  for (uint32_t i = 0; i < threads; i++) {
    workers[i] = (struct site_worker){.sites = sites, .indices = calloc(sites, sizeof(uint32_t))};
    if (pthread_create(&handles[i], NULL, enter_sites, &workers[i]))
      abort();
  }
  *entered = *called_new = 0;
  for (uint32_t i = 0; i < threads; i++) {
    pthread_join(handles[i], NULL);
    *called_new += workers[i].called_new;
  }
  // All threads must have found the same place for the same site, and no other site there.
  for (uint32_t site = 0; site < sites; site++) {
    bool agrees = workers[0].indices[site] < values.site_count;
    for (uint32_t i = 1; i < threads; i++)
      agrees = agrees && workers[i].indices[site] == workers[0].indices[site];
    *entered += agrees && native_user_site_at(workers[0].indices[site])->stack_hash == 0x1000 + site * 2 + 1;
  }
  for (uint32_t i = 0; i < threads; i++)
    free(workers[i].indices);
  pthread_barrier_destroy(&barrier);
}
