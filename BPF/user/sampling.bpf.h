// Poisson sampling by bytes: the gaps between sampled bytes are exponential with the configured mean, so a block of
// S bytes is chosen with probability P = 1 − e^(−S/mean) and stands for 1/P blocks. The stream is split per CPU, which
// changes nothing: any split of a Poisson process is one again.
#pragma once

#include "common/core.bpf.h"
#include "user/processes.bpf.h"
#include "user/session.bpf.h"

#include "allocation_abi.h"

struct lt_sampling_state {
  __s64 bytes_until_sample;
  __u64 mean;  // with which that was drawn; 0 before the first draw
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_sampling_state);
} sampling_states SEC(".maps");

// One draw from Exp(mean): −ln(u)·mean, with the logarithm from a 256-step table and linear interpolation.
static __always_inline __u64 draw_gap(__u64 mean) {
  __u32 random = bpf_get_prandom_u32() | 1;
  __u32 exponent = 0;
  __u32 normalized = random;
  // Shift the leading one to bit 31.
  if (!(normalized >> 16))
    normalized <<= 16, exponent += 16;
  if (!(normalized >> 24))
    normalized <<= 8, exponent += 8;
  if (!(normalized >> 28))
    normalized <<= 4, exponent += 4;
  if (!(normalized >> 30))
    normalized <<= 2, exponent += 2;
  if (!(normalized >> 31))
    normalized <<= 1, exponent += 1;
  __u32 step = (normalized >> 23) & 0xff;
  __u64 fraction = normalized & 0x7fffff;
  __u64 low = configuration.log2_table[step];
  __u64 high = configuration.log2_table[step + 1];
  __u64 log2 = low + ((high - low) * fraction >> 23);  // of the mantissa, in 1/65536
  __u64 bits = ((__u64)(exponent + 1) << 16) - log2;   // −log2(u)
  return mean * (bits * 45426 >> 16) >> 16;            // ln 2 = 45426/65536
}

// The level of sampling now, below LT_MAX_LEVELS.
static __always_inline __u32 current_level(void) {
  struct lt_globals *shared = global_words();
  return shared ? lt_load(&shared->level) & LT_LEVEL_MASK : 0;
}

static __always_inline bool samples_one_in_n(void) { return configuration.sample_every_nth > 1; }

// The mean number of bytes between samples of a level, or how many blocks one of them stands for.
static __always_inline __u64 level_value(__u32 level) {
  if (!level)
    return samples_one_in_n() ? configuration.sample_every_nth : configuration.sample_mean;
  struct lt_globals *shared = global_words();
  return shared ? lt_load(&shared->level_values[lt_bound(level, LT_LEVEL_MASK)]) : 0;
}

static __always_inline bool is_sampling(void) {
  return configuration.sample_mean || samples_one_in_n() || current_level();
}

// Whether the next block, of `size` bytes, is to be recorded at this level.
static __always_inline bool should_sample(__u64 size, __u32 level) {
  if (!level && !configuration.sample_mean && !samples_one_in_n())
    return true;
  __u64 value = level_value(level);
  if (!value)
    return true;
  if (samples_one_in_n())
    return bpf_get_prandom_u32() % value == 0;
  __u32 zero = 0;
  struct lt_sampling_state *state = bpf_map_lookup_elem(&sampling_states, &zero);
  if (!state)
    return true;
  if (state->mean != value) {
    state->mean = value;
    state->bytes_until_sample = draw_gap(value);
  }
  __s64 before = __sync_fetch_and_add(&state->bytes_until_sample, -(__s64)size);
  if (before > (__s64)size)
    return false;
  // Memoryless: what the block overshot by says nothing about the next gap.
  state->bytes_until_sample = draw_gap(value);
  return true;
}

static __always_inline __u32 level_of(const struct lt_block_payload *payload) { return payload->time & LT_LEVEL_MASK; }

// A function of its own for the verifier, which then looks at it once. Level 0 of an exact trace ends at once.
static __noinline void weigh(struct lt_weight *weight, __u64 size, __u32 level) {
  __u64 value = level_value(level);
  *weight =
      samples_one_in_n() ? lt_weight_of_nth(size, value) : lt_weight_of_bytes(size, value, configuration.weight_table);
}

// What a block that is counted at this level stands for.
static __always_inline struct lt_weight weight_of(__u64 size, __u32 level) {
  struct lt_weight weight = {size, 1ull << LT_COUNT_UNIT_SHIFT};
  if (level || configuration.sample_mean || samples_one_in_n())
    weigh(&weight, size, level);
  return weight;
}
