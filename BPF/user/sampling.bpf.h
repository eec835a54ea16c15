// Poisson sampling by bytes: the gaps between sampled bytes are exponential with the configured mean, so a block of
// S bytes is chosen with probability P = 1 − e^(−S/mean) and stands for 1/P blocks. The stream is split per CPU, which
// changes nothing: any split of a Poisson process is one again.
#pragma once

#include "common/core.bpf.h"
#include "user/session.bpf.h"

#include "allocation_abi.h"

struct lt_sampling_state {
  __s64 bytes_until_sample;
  __u64 is_seeded;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_sampling_state);
} sampling_states SEC(".maps");

// One draw from Exp(mean): −ln(u)·mean, with the logarithm from a 256-step table and linear interpolation.
static __always_inline __u64 draw_gap(void) {
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
  __u64 log2 = low + ((high - low) * fraction >> 23);             // of the mantissa, in 1/65536
  __u64 bits = ((__u64)(exponent + 1) << 16) - log2;              // −log2(u)
  return configuration.sample_mean * (bits * 45426 >> 16) >> 16;  // ln 2 = 45426/65536
}

static __always_inline bool is_sampling(void) {
  return configuration.sample_mean || configuration.sample_every_nth > 1;
}

// Whether the next block, of `size` bytes, is to be recorded.
static __always_inline bool should_sample(__u64 size) {
  if (configuration.sample_every_nth > 1)
    return bpf_get_prandom_u32() % configuration.sample_every_nth == 0;
  if (!configuration.sample_mean)
    return true;
  __u32 zero = 0;
  struct lt_sampling_state *state = bpf_map_lookup_elem(&sampling_states, &zero);
  if (!state)
    return true;
  if (!state->is_seeded) {
    state->is_seeded = 1;
    state->bytes_until_sample = draw_gap();
  }
  __s64 before = __sync_fetch_and_add(&state->bytes_until_sample, -(__s64)size);
  if (before > (__s64)size)
    return false;
  // Memoryless: what the block overshot by says nothing about the next gap.
  state->bytes_until_sample = draw_gap();
  return true;
}

struct lt_weight {
  __u64 bytes;
  __u64 count;
};

// What a recorded block stands for: bytes, and blocks in units of 1/2^LT_COUNT_UNIT_SHIFT while sampling.
// The same size always gives the same weight, so what is added by an allocation is taken off exactly by its free.
static __always_inline struct lt_weight weight_of(__u64 size) {
  struct lt_weight weight = {size, 1};
  if (configuration.sample_every_nth > 1) {
    weight.bytes = size * configuration.sample_every_nth;
    weight.count = (__u64)configuration.sample_every_nth << LT_COUNT_UNIT_SHIFT;
  } else if (configuration.sample_mean) {
    __u64 mean = configuration.sample_mean;
    __u64 position = (size << 16) / mean * LT_WEIGHT_STEPS_PER_MEAN;
    __u64 step = position >> 16;
    if (step >= LT_WEIGHT_STEPS || size >> 44) {
      weight.count = 1 << LT_COUNT_UNIT_SHIFT;
    } else {
      __u64 low = configuration.weight_table[step & (LT_WEIGHT_STEPS - 1)];
      __u64 high = configuration.weight_table[(step & (LT_WEIGHT_STEPS - 1)) + 1];
      __u64 ratio = low + ((high - low) * (position & 0xffff) >> 16);
      weight.bytes = mean * ratio >> 16;
      weight.count = size ? (weight.bytes << LT_COUNT_UNIT_SHIFT) / size : 0;
    }
  }
  return weight;
}
