// The layouts of what both halves read and write, asserted once: this is compiled with the programs and with what Swift
// imports, so a change on one side cannot go unnoticed on the other.
#pragma once

#include <stddef.h>

#include "allocation_abi.h"
#include "unwind_abi.h"
#include "kernel_abi.h"
#include "unwind_probe_abi.h"
#include "victim_abi.h"

#define LT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of struct " #type)
#define LT_FIELD(type, offset, field) \
  _Static_assert(offsetof(struct type, field) == (offset), "struct " #type ", field " #field)

// ---- allocation_abi.h ----------------------------------------------------------------------------------------------

LT_SIZE(lt_block_payload, 16);
LT_FIELD(lt_block_payload, 0, size_and_site);
LT_FIELD(lt_block_payload, 8, time);

LT_SIZE(lt_block_bucket, 192);
LT_FIELD(lt_block_bucket, 0, keys);
LT_FIELD(lt_block_bucket, 64, payloads);

LT_SIZE(lt_site, 64);
LT_FIELD(lt_site, 0, key);
LT_FIELD(lt_site, 8, stack_hash);
LT_FIELD(lt_site, 16, allocated_bytes);
LT_FIELD(lt_site, 24, allocated_count);
LT_FIELD(lt_site, 32, freed_bytes);
LT_FIELD(lt_site, 40, freed_count);
LT_FIELD(lt_site, 48, process_generation);
LT_FIELD(lt_site, 52, process_slot);
LT_FIELD(lt_site, 54, probe);
LT_FIELD(lt_site, 56, epoch);
LT_FIELD(lt_site, 60, state);

LT_SIZE(lt_stack, 1024);
LT_FIELD(lt_stack, 0, depth);
LT_FIELD(lt_stack, 4, outcome);
LT_FIELD(lt_stack, 8, frames);

LT_SIZE(lt_short_stack, 448);
LT_FIELD(lt_short_stack, 0, depth);
LT_FIELD(lt_short_stack, 4, outcome);
LT_FIELD(lt_short_stack, 8, frames);

LT_SIZE(lt_free_place, 16);
LT_FIELD(lt_free_place, 0, stack_hash);
LT_FIELD(lt_free_place, 8, site);
LT_FIELD(lt_free_place, 12, site_check);

LT_SIZE(lt_free_count, 24);
LT_FIELD(lt_free_count, 0, frees);
LT_FIELD(lt_free_count, 8, samples);
LT_FIELD(lt_free_count, 16, epoch);

LT_SIZE(lt_process, 96);
LT_FIELD(lt_process, 0, process_id);
LT_FIELD(lt_process, 4, generation);
LT_FIELD(lt_process, 8, uprobes_trampoline);
LT_FIELD(lt_process, 16, unmatched_frees);
LT_FIELD(lt_process, 24, unmatched_frees_at_thread_end);
LT_FIELD(lt_process, 32, failed_allocations);
LT_FIELD(lt_process, 40, loader_changes);
LT_FIELD(lt_process, 48, loader_answers);
LT_FIELD(lt_process, 56, is_held);
LT_FIELD(lt_process, 60, is_target);
LT_FIELD(lt_process, 64, gate_starts);
LT_FIELD(lt_process, 80, gate_sizes);

LT_SIZE(lt_thread_state, 64);

LT_SIZE(lt_configuration, 5208);
LT_FIELD(lt_configuration, 0, minimum_size);
LT_FIELD(lt_configuration, 8, maximum_size);
LT_FIELD(lt_configuration, 16, sample_mean);
LT_FIELD(lt_configuration, 24, sample_every_nth);
LT_FIELD(lt_configuration, 28, block_buckets);
LT_FIELD(lt_configuration, 32, site_count);
LT_FIELD(lt_configuration, 36, maximum_blocks);
LT_FIELD(lt_configuration, 40, filling_blocks);
LT_FIELD(lt_configuration, 44, emit_events);
LT_FIELD(lt_configuration, 48, follow_forks);
LT_FIELD(lt_configuration, 52, walk_with_tables);
LT_FIELD(lt_configuration, 56, sites_by_thread);
LT_FIELD(lt_configuration, 60, watches_frees);
LT_FIELD(lt_configuration, 64, largest_safe_request);
LT_FIELD(lt_configuration, 72, tracer_process);
LT_FIELD(lt_configuration, 76, has_gates);
LT_FIELD(lt_configuration, 80, log2_table);
LT_FIELD(lt_configuration, 1108, weight_table);

LT_SIZE(lt_globals, 192);
LT_FIELD(lt_globals, 0, live_blocks);
LT_FIELD(lt_globals, 8, held_processes);
LT_FIELD(lt_globals, 16, hold_budgets);
LT_FIELD(lt_globals, 32, tracer_is_gone);
LT_FIELD(lt_globals, 40, attaching_process);
LT_FIELD(lt_globals, 48, level);
LT_FIELD(lt_globals, 56, is_filling);
LT_FIELD(lt_globals, 64, level_values);

LT_SIZE(lt_event, 64);
LT_FIELD(lt_event, 0, kind);
LT_FIELD(lt_event, 4, process_id);
LT_FIELD(lt_event, 8, thread_id);
LT_FIELD(lt_event, 12, process_slot);
LT_FIELD(lt_event, 16, time);
LT_FIELD(lt_event, 24, address);
LT_FIELD(lt_event, 32, size);
LT_FIELD(lt_event, 40, other_address);
LT_FIELD(lt_event, 48, other_size);
LT_FIELD(lt_event, 56, site);
LT_FIELD(lt_event, 60, probe);

// ---- unwind_abi.h --------------------------------------------------------------------------------------------------

LT_SIZE(lt_unwind_cache, 526336);
LT_FIELD(lt_unwind_cache, 0, words);
LT_FIELD(lt_unwind_cache, 524288, unreadable_pages);

LT_SIZE(lt_unwind_rules, 65536);
LT_FIELD(lt_unwind_rules, 0, rules);

LT_SIZE(lt_unwind_session, 8);
LT_FIELD(lt_unwind_session, 0, next_address_space);

LT_SIZE(lt_unwind_mapping, 40);
LT_FIELD(lt_unwind_mapping, 0, start);
LT_FIELD(lt_unwind_mapping, 8, table_start);
LT_FIELD(lt_unwind_mapping, 16, length);
LT_FIELD(lt_unwind_mapping, 20, chunk);
LT_FIELD(lt_unwind_mapping, 24, first_word);
LT_FIELD(lt_unwind_mapping, 28, block_count);
LT_FIELD(lt_unwind_mapping, 32, identity);

LT_SIZE(lt_unwind_process, 48);
LT_FIELD(lt_unwind_process, 0, view);
LT_FIELD(lt_unwind_process, 8, generation);
LT_FIELD(lt_unwind_process, 12, requested);
LT_FIELD(lt_unwind_process, 16, validated);
LT_FIELD(lt_unwind_process, 24, executable_pages);
LT_FIELD(lt_unwind_process, 32, epoch);
LT_FIELD(lt_unwind_process, 36, waiting_samples);
LT_FIELD(lt_unwind_process, 40, doubtful);
LT_FIELD(lt_unwind_process, 44, reserved);

LT_SIZE(lt_unwind_area, 24);
LT_FIELD(lt_unwind_area, 0, start);
LT_FIELD(lt_unwind_area, 8, end);
LT_FIELD(lt_unwind_area, 16, identity);

LT_SIZE(lt_unwind_request, 24);
LT_FIELD(lt_unwind_request, 0, process_slot);
LT_FIELD(lt_unwind_request, 4, generation);
LT_FIELD(lt_unwind_request, 8, process_id);
LT_FIELD(lt_unwind_request, 12, reserved);
LT_FIELD(lt_unwind_request, 16, address);

LT_SIZE(lt_unwind_scratch, 5512);

LT_SIZE(lt_unwind_sample, 2640);
LT_FIELD(lt_unwind_sample, 0, process_slot);
LT_FIELD(lt_unwind_sample, 4, generation);
LT_FIELD(lt_unwind_sample, 8, process_id);
LT_FIELD(lt_unwind_sample, 12, site);
LT_FIELD(lt_unwind_sample, 16, pending);
LT_FIELD(lt_unwind_sample, 24, lookup);
LT_FIELD(lt_unwind_sample, 32, sp);
LT_FIELD(lt_unwind_sample, 40, fp);
LT_FIELD(lt_unwind_sample, 48, view);
LT_FIELD(lt_unwind_sample, 56, origin);
LT_FIELD(lt_unwind_sample, 64, can_list_areas);
LT_FIELD(lt_unwind_sample, 68, reserved);
LT_FIELD(lt_unwind_sample, 72, area_count);
LT_FIELD(lt_unwind_sample, 76, stack_bytes);
LT_FIELD(lt_unwind_sample, 80, areas);
LT_FIELD(lt_unwind_sample, 1616, walked);

// ---- kernel_abi.h --------------------------------------------------------------------------------------------------

LT_SIZE(lt_kernel_site, 96);
LT_FIELD(lt_kernel_site, 0, key);
LT_FIELD(lt_kernel_site, 8, call_site);
LT_FIELD(lt_kernel_site, 16, cache);
LT_FIELD(lt_kernel_site, 24, stack_hash);
LT_FIELD(lt_kernel_site, 32, allocated_bytes);
LT_FIELD(lt_kernel_site, 40, allocated_count);
LT_FIELD(lt_kernel_site, 48, freed_bytes);
LT_FIELD(lt_kernel_site, 56, freed_count);
LT_FIELD(lt_kernel_site, 64, reused_count);
LT_FIELD(lt_kernel_site, 72, flags);
LT_FIELD(lt_kernel_site, 76, gfp);
LT_FIELD(lt_kernel_site, 80, object_size);
LT_FIELD(lt_kernel_site, 84, class);
LT_FIELD(lt_kernel_site, 88, is_kmalloc);
LT_FIELD(lt_kernel_site, 92, is_ready);

LT_SIZE(lt_kernel_cache, 72);
LT_FIELD(lt_kernel_cache, 0, name);
LT_FIELD(lt_kernel_cache, 64, is_wanted);

LT_SIZE(lt_ended_process, 20);
LT_FIELD(lt_ended_process, 0, comm);
LT_FIELD(lt_ended_process, 16, parent);

LT_SIZE(lt_kernel_event, 40);
LT_FIELD(lt_kernel_event, 0, time);
LT_FIELD(lt_kernel_event, 8, address);
LT_FIELD(lt_kernel_event, 16, size);
LT_FIELD(lt_kernel_event, 24, site);
LT_FIELD(lt_kernel_event, 28, is_free);
LT_FIELD(lt_kernel_event, 32, process_id);
LT_FIELD(lt_kernel_event, 36, thread_id);

LT_SIZE(lt_kernel_range, 16);
LT_FIELD(lt_kernel_range, 0, start);
LT_FIELD(lt_kernel_range, 8, end);

LT_SIZE(lt_kernel_configuration, 392);
LT_FIELD(lt_kernel_configuration, 0, minimum_size);
LT_FIELD(lt_kernel_configuration, 8, maximum_size);
LT_FIELD(lt_kernel_configuration, 16, vmemmap_pointer);
LT_FIELD(lt_kernel_configuration, 24, page_offset_pointer);
LT_FIELD(lt_kernel_configuration, 32, process_id);
LT_FIELD(lt_kernel_configuration, 36, own_process_id);
LT_FIELD(lt_kernel_configuration, 40, has_comm);
LT_FIELD(lt_kernel_configuration, 44, has_cgroup);
LT_FIELD(lt_kernel_configuration, 48, comm);
LT_FIELD(lt_kernel_configuration, 64, block_buckets);
LT_FIELD(lt_kernel_configuration, 68, site_count);
LT_FIELD(lt_kernel_configuration, 72, all_stacks);
LT_FIELD(lt_kernel_configuration, 76, no_stacks);
LT_FIELD(lt_kernel_configuration, 80, cache_filter);
LT_FIELD(lt_kernel_configuration, 84, possible_cpus);
LT_FIELD(lt_kernel_configuration, 88, knows_interrupts);
LT_FIELD(lt_kernel_configuration, 92, interrupt_range_count);
LT_FIELD(lt_kernel_configuration, 96, call_site_range_count);
LT_FIELD(lt_kernel_configuration, 100, kmalloc_has_cache);
LT_FIELD(lt_kernel_configuration, 104, cache_alloc_has_cache);
LT_FIELD(lt_kernel_configuration, 108, cache_alloc_has_sizes);
LT_FIELD(lt_kernel_configuration, 112, percpu_has_call_site);
LT_FIELD(lt_kernel_configuration, 116, sample_every_nth);
LT_FIELD(lt_kernel_configuration, 120, emits_events);
LT_FIELD(lt_kernel_configuration, 124, skips_reclaimable);
LT_FIELD(lt_kernel_configuration, 128, has_more_processes);
LT_FIELD(lt_kernel_configuration, 136, interrupts);
LT_FIELD(lt_kernel_configuration, 264, call_sites);

LT_SIZE(lt_kernel_globals, 144);
LT_FIELD(lt_kernel_globals, 0, third_choices);
LT_FIELD(lt_kernel_globals, 8, splittable);
LT_FIELD(lt_kernel_globals, 136, level);

// ---- unwind_probe_abi.h --------------------------------------------------------------------------------------------

LT_SIZE(lt_probe_configuration, 16);
LT_FIELD(lt_probe_configuration, 0, walks);
LT_FIELD(lt_probe_configuration, 4, kernel_walks);
LT_FIELD(lt_probe_configuration, 8, sample_period);
LT_FIELD(lt_probe_configuration, 12, stops);

LT_SIZE(lt_probe_totals, 17504);
LT_FIELD(lt_probe_totals, 0, events);
LT_FIELD(lt_probe_totals, 8, frames);
LT_FIELD(lt_probe_totals, 16, nanoseconds);
LT_FIELD(lt_probe_totals, 24, kernel_nanoseconds);
LT_FIELD(lt_probe_totals, 32, clock_nanoseconds);
LT_FIELD(lt_probe_totals, 40, clock_readings);
LT_FIELD(lt_probe_totals, 48, statuses);
LT_FIELD(lt_probe_totals, 80, with_frame_pointers);
LT_FIELD(lt_probe_totals, 88, stops);
LT_FIELD(lt_probe_totals, 96, depths);
LT_FIELD(lt_probe_totals, 1120, histogram);
LT_FIELD(lt_probe_totals, 9312, kernel_histogram);

LT_SIZE(lt_probe_sample, 263264);
LT_FIELD(lt_probe_sample, 0, process_id);
LT_FIELD(lt_probe_sample, 4, pc_kind);
LT_FIELD(lt_probe_sample, 8, depth);
LT_FIELD(lt_probe_sample, 12, outcome);
LT_FIELD(lt_probe_sample, 16, process_slot);
LT_FIELD(lt_probe_sample, 20, address_space);
LT_FIELD(lt_probe_sample, 24, pc);
LT_FIELD(lt_probe_sample, 32, sp);
LT_FIELD(lt_probe_sample, 40, fp);
LT_FIELD(lt_probe_sample, 48, kept);
LT_FIELD(lt_probe_sample, 88, frames);
LT_FIELD(lt_probe_sample, 1112, stack_pages);
LT_FIELD(lt_probe_sample, 1120, stack);

// ---- victim_abi.h --------------------------------------------------------------------------------------------------

LT_SIZE(lt_victim, 32);
LT_FIELD(lt_victim, 0, time);
LT_FIELD(lt_victim, 8, process_id);
LT_FIELD(lt_victim, 12, reserved);
LT_FIELD(lt_victim, 16, command);

#undef LT_SIZE
#undef LT_FIELD
