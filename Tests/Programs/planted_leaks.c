// A large heap with known leaks: planted_leaks BLOCKS MEAN_SIZE LEAKS [LIST].
//
// Once a line comes on standard input, makes BLOCKS blocks of MEAN_SIZE bytes on average, links them into chains that a
// table holds, and forgets LEAKS of them, evenly spread; every tenth of these is reached only from the one before it. Then
// says "ready BLOCKS BYTES DEFINITE INDIRECT" on standard output and waits until standard input ends.
//
// LIST gets three 64-bit words for each block: its address, its size, and 0 when it is kept, 1 when it is lost, 2 when it is
// lost with another one.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct block {
  struct block *next;
  struct block *other;
  void *inside;
};

enum { BUCKETS = 1 << 17, RECORDS = 4096 };

// The list must not keep what is forgotten: it is never in this memory as it is.
static const uint64_t mask = 0xa5a5000000000000;
static uint64_t records[RECORDS][3];
static int record_count;
static int list = -1;
static uint64_t state = 88172645463325252;

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void flush_records(void) {
  for (int i = 0; i < record_count; i++)
    records[i][0] ^= mask;
  if (list >= 0 && write(list, records, record_count * sizeof records[0]) < 0)
    perror("write");
  memset(records, 0, sizeof records);
  record_count = 0;
}

static void note(const void *block, size_t size, int kind) {
  if (record_count == RECORDS)
    flush_records();
  records[record_count][0] = (uint64_t)(uintptr_t)block ^ mask;
  records[record_count][1] = size;
  records[record_count++][2] = kind;
}

static size_t pick_size(size_t mean) {
  uint64_t random = next_random() >> 8;
  switch (random % 20) {
  case 0:
    return 4 * mean + random % (12 * mean);
  case 1 ... 5:
    return mean / 2 + random % (2 * mean);
  default:
    return sizeof(struct block) + random % (mean / 2);
  }
}

// Text, numbers or nothing: no pointers.
static struct block *make(size_t size) {
  struct block *block = malloc(size);
  uint64_t random = next_random();
  switch (random % 4) {
  case 0:
    memset(block, 0, size);
    break;
  case 1:
    memset(block, 'x', size);
    break;
  default:
    memset(block, 0, size);
    for (size_t i = 0; i < size / 8; i++)
      ((uint64_t *)block)[i] = random * i >> 40;
  }
  memset(block, 0, sizeof *block);
  return block;
}

__attribute__((noinline)) static void fill(struct block **table, long blocks, size_t mean, long leaks) {
  uint64_t bytes = 0;
  long definite = 0, indirect = 0, leaked = 0;
  struct block *leader = NULL, *recent = NULL;
  for (long i = 0; i < blocks; i++) {
    size_t size = pick_size(mean);
    struct block *block = make(size);
    bytes += size;
    if (leaked * blocks < leaks * i) {
      if (leaked++ % 10 == 9 && leader) {
        leader->next = block;
        note(block, size, 2);
        indirect++;
      } else {
        leader = block;
        note(block, size, 1);
        definite++;
      }
      continue;
    }
    struct block **bucket = &table[next_random() % BUCKETS];
    block->next = *bucket;
    *bucket = block;
    block->other = i % 5 ? NULL : recent;
    block->inside = i % 20 || !recent ? NULL : (char *)recent + 16;
    recent = block;
    note(block, size, 0);
  }
  flush_records();
  printf("ready %ld %lu %ld %ld\n", blocks + 1, bytes + BUCKETS * sizeof *table, definite, indirect);
  fflush(stdout);
}

// Overwrites what the calls before left behind on the stack.
__attribute__((noinline)) static void wipe_stack(void) {
  volatile char bytes[1 << 16];
  memset((char *)bytes, 0, sizeof bytes);
}

static struct block **table;

int main(int argc, char **argv) {
  char byte;
  if (argc < 4) {
    fprintf(stderr, "usage: planted_leaks BLOCKS MEAN_SIZE LEAKS [LIST]\n");
    return 2;
  }
  static char output[4096];
  setvbuf(stdout, output, _IOFBF, sizeof output);
  if (argc > 4)
    list = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (read(0, &byte, 1) != 1)
    return 1;
  table = calloc(BUCKETS, sizeof *table);
  note(table, BUCKETS * sizeof *table, 0);
  fill(table, atol(argv[1]), atol(argv[2]), atol(argv[3]));
  wipe_stack();
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}
