// The stack walker, for tests.
#include <linux/types.h>
#include <string.h>

#include "unwind/unwind.bpf.h"

#include "native_bpf.h"

#define SLOT 3
#define GENERATION 1
#define ADDRESS_SPACE 7

static struct mm_struct memory;
static struct task_struct task = {.mm = &memory};

struct task_struct *native_task(void) {
  return &task;
}

// One chunk with one page.
static struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, struct lt_unwind_page);
} chunk;

void native_unwind_begin(void) {
  NATIVE_MAP(lt_unwind_cache, 1);
  NATIVE_MAP(lt_unwind_rules, 1);
  NATIVE_MAP(lt_unwind_sessions, 1);
  NATIVE_MAP(lt_unwind_processes, LT_MAX_PROCESS_SLOTS);
  NATIVE_MAP(lt_unwind_mappings, 16);
  NATIVE_MAP(lt_unwind_scratches, LT_UNWIND_SCRATCHES);
  NATIVE_MAP(lt_unwind_counters, LT_UNWIND_COUNTER_COUNT);
  native_map_set(&lt_unwind_chunks, BPF_MAP_TYPE_ARRAY_OF_MAPS, sizeof(__u32), sizeof(void *), LT_UNWIND_MAX_CHUNKS);
  NATIVE_MAP(chunk, 1);
  native_map_set_inner(&lt_unwind_chunks, 0, &chunk);
  native_unwind_set_rule(LT_UNWIND_RULE_ID_NO_ROW, LT_UNWIND_RULE_NO_ROW);
  native_unwind_set_rule(LT_UNWIND_RULE_ID_END, LT_UNWIND_RULE_END);
  native_unwind_set_rule(LT_UNWIND_RULE_ID_UNSUPPORTED, LT_UNWIND_RULE_UNSUPPORTED);
  native_set_memory(0, NULL, 0);
  native_set_code(0, NULL, 0);
}

void native_unwind_set_rule(uint16_t identifier, uint64_t rule) {
  __u32 zero = 0;
  struct lt_unwind_rules *rules = bpf_map_lookup_elem(&lt_unwind_rules, &zero);
  rules->rules[identifier] = rule;
}

void native_unwind_publish(uint64_t start, const struct native_row *rows, size_t count) {
  __u32 zero = 0, slot = SLOT;
  struct lt_unwind_page *page = bpf_map_lookup_elem(&chunk, &zero);
  // One block of text: where its rows begin and end, then they.
  page->words[0] = 0;
  page->words[1] = count;
  for (size_t i = 0; i < count; i++)
    page->words[2 + i] = (__u32)rows[i].offset << 24 | rows[i].code;
  struct lt_unwind_mapping *mapping = bpf_map_lookup_elem(&lt_unwind_mappings, &zero);
  *mapping = (struct lt_unwind_mapping){
      .start = start, .table_start = start, .length = 1 << LT_UNWIND_BLOCK_SHIFT, .block_count = 1};
  struct lt_unwind_process *process = bpf_map_lookup_elem(&lt_unwind_processes, &slot);
  *process = (struct lt_unwind_process){.view = (__u64)ADDRESS_SPACE << 48 | 1ull << 32,
                                        .generation = GENERATION,
                                        .validated = (__u64)ADDRESS_SPACE << 48 | lt_unwind_changes()};
}

struct native_step native_unwind_step(uint16_t code, uint64_t lookup, uint64_t sp, uint64_t fp) {
  struct lt_unwind_scratch scratch = {.stack = {.depth = 1, .frames = {lookup}},
                                      .process_slot = SLOT,
                                      .generation = GENERATION,
                                      .lookup = lookup,
                                      .sp = sp,
                                      .fp = fp,
                                      .code = code};
  int step = lt_unwind_special(&scratch);
  if (step == LT_UNWIND_STEP_NO_ROW)
    step = lt_unwind_no_row(&scratch);
  return (struct native_step){
      step != LT_UNWIND_STEP_DONE, scratch.stack.outcome, scratch.lookup, scratch.sp, scratch.fp, scratch.stack.depth};
}

void native_unwind_walk(uint64_t pc, uint64_t sp, uint64_t fp, bool is_return, struct lt_stack *out) {
  struct lt_unwind_scratch *scratch = lt_unwind_claim();
  lt_unwind(scratch, SLOT, GENERATION, pc, sp, fp, is_return ? LT_UNWIND_PC_RETURN : LT_UNWIND_PC_EXACT);
  *out = scratch->stack;
  lt_unwind_release(scratch);
}

uint64_t native_unwind_counter(enum lt_unwind_counter counter) {
  __u32 key = counter;
  return *(__u64 *)bpf_map_lookup_elem(&lt_unwind_counters, &key);
}
