// The table of allocation sites: open addressing in one mmap-able array. Whoever includes this has declared
// `configuration`, which has the number of sites, and the map `sites`, whose values begin with the site's key.
#pragma once

#include "common/core.bpf.h"

#include "allocation_abi.h"

// Index of the site that has `key`, which is not 0. If there is none, an empty place near the key's hash becomes its site:
// then `*is_new` is set, and the caller completes it. LT_NO_SITE when there is no empty place.
static __always_inline __u32 site_find_or_claim(__u64 key, bool *is_new) {
  __u32 index = (key >> 32) * configuration.site_count >> 32;
  *is_new = false;
  // In growing steps: neighbours would soon form rows that are longer than the number of tries.
  for (__u32 i = 0; i < LT_SITE_TRIES; i++) {
    index += i;
    if (index >= configuration.site_count)
      index -= configuration.site_count;
    __u64 *place = bpf_map_lookup_elem(&sites, &index);
    if (!place)
      return LT_NO_SITE;
    __u64 found = lt_load(place);
    if (found == 0) {
      found = __sync_val_compare_and_swap(place, 0, key);
      if (found == 0) {
        *is_new = true;
        return index;
      }
    }
    if (found == key)
      return index;
  }
  return LT_NO_SITE;
}
