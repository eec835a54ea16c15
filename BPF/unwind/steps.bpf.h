// The walker's slow steps: reading the stack, rules other than a plain CFA.
#pragma once

#include "common/core.bpf.h"
#include "unwind/frames.bpf.h"
#include "unwind/lookup.bpf.h"
#include "unwind/maps.bpf.h"
#include "unwind_abi.h"

// What lies between a window's end and the last place at which fp may be saved for the return address to be inside.
#define LT_UNWIND_WINDOW_MARGIN 56
#define LT_UNWIND_MAX_FRAME_POINTER_DISTANCE (1ULL << 20)

// The page of `address` in the form in which unreadable ones are remembered, and the place for it.
static __always_inline __u64 lt_unwind_page_key(struct lt_unwind_scratch *scratch, __u64 address) {
  return (address & ~(__u64)(LT_UNWIND_PAGE_BYTES - 1)) << 4 | scratch->address_space >> LT_UNWIND_ADDRESS_BITS;
}

static __always_inline __u64 *lt_unwind_page_place(struct lt_unwind_cache *cache, __u64 page) {
  return &cache->unreadable_pages[(page * LT_UNWIND_PAGE_MULTIPLIER) >> 56];
}

// How large a window from `start` on should be: to the end of the stack, where that is thought to be near. A read costs
// 80 ns and 10 ns per KiB. 0: the slow way should find out.
static __always_inline __u64 lt_unwind_window_bytes(struct lt_unwind_scratch *scratch, struct lt_unwind_cache *cache,
                                                    __u64 start) {
  __u64 size = scratch->expected_end - start;

  // All ones if the end is past the window, or too near or behind us, so that it cannot be right. A branch would be
  // followed to its end by the verifier each time.
  __u64 is_far = (__s64)((LT_UNWIND_WINDOW_BYTES - size) | (size - 2 * LT_UNWIND_WINDOW_MARGIN)) >> 63;
  barrier_var(is_far);
  size = (size & ~is_far) | (LT_UNWIND_WINDOW_BYTES & is_far);
  barrier_var(size);
  __u64 page = lt_unwind_page_key(scratch, start + size - 1);
  return *lt_unwind_page_place(cache, page) == page ? 0 : size;
}

// Reads a window of the stack at scratch->wanted_start that holds at least all up to scratch->wanted_end. The slow way,
// where the stack may end.
__noinline int lt_unwind_refill(struct lt_unwind_scratch *scratch) {
  __u32 zero = 0;
  struct lt_unwind_cache *cache = bpf_map_lookup_elem(&lt_unwind_cache, &zero);
  if (!scratch || !cache)
    return LT_UNWIND_STEP_DONE;

  __u64 start = scratch->wanted_start & ~7ULL, end = scratch->wanted_end;
  __u64 stop = start + LT_UNWIND_WINDOW_BYTES;

  // A window that runs into memory above the stack cannot be read at all: stop before it, and remember it.
  for (int i = 0; i < LT_UNWIND_WINDOW_BYTES / LT_UNWIND_PAGE_BYTES + 1; i++) {
    __u64 boundary = (stop - 1) & ~(__u64)(LT_UNWIND_PAGE_BYTES - 1), page = lt_unwind_page_key(scratch, boundary);
    __u64 *unreadable = lt_unwind_page_place(cache, page);
    bool can_shrink = boundary > start && boundary >= end;
    __u64 size = stop - start;
    if (size > LT_UNWIND_WINDOW_BYTES)
      break;
    if (!(can_shrink && *unreadable == page)) {
      if (!bpf_probe_read_user(scratch->window, size, (void *)start)) {
        scratch->window_start = start;
        // In so short a window only the slow way knows exactly which words can be read.
        bool is_short = size <= LT_UNWIND_WINDOW_MARGIN;
        scratch->window_limit = is_short ? 0 : size - LT_UNWIND_WINDOW_MARGIN;
        return is_short ? LT_UNWIND_STEP_SPECIAL : LT_UNWIND_STEP_AGAIN;
      }
      *unreadable = page;
    }
    if (!can_shrink)
      break;
    stop = boundary;
  }
  return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UNREADABLE_STACK);
}

// Where the stack of the program's first thread begins: the kernel puts its arguments there.
static __always_inline __u64 lt_unwind_stack_origin(void) {
  struct task_struct *task = bpf_get_current_task_btf();

  return task->mm ? task->mm->start_stack : 0;
}

// Looks at the word at scratch->wanted_start and counts it in scratch->code if it may be a return address; bpf_loop's callback.
// The verifier would follow variables of its own through every number of words.
static long lt_unwind_look_for_caller([[maybe_unused]] __u32 round, void *context) {
  struct lt_unwind_scratch *scratch = *(struct lt_unwind_scratch **)context;
  __u64 word = 0;

  if (bpf_probe_read_user(&word, sizeof(word), (void *)scratch->wanted_start))
    return 1;
  scratch->wanted_start += sizeof(word);
  if (lt_unwind_is_code(scratch->view, word))
    scratch->code++;
  return scratch->code > 1;
}

// Whether a frame without call-frame information is where the stack begins, as entry points are often written in assembler:
// between it and the arguments of the program there is at most one word that may be a return address, the entry point's.
static __always_inline bool lt_unwind_is_outermost(struct lt_unwind_scratch *scratch) {
  __u64 distance = lt_unwind_stack_origin() - scratch->sp;

  if (distance > LT_UNWIND_ORIGIN_DISTANCE)
    return false;
  scratch->wanted_start = scratch->sp;
  scratch->code = 0;
  bpf_loop(distance / 8, lt_unwind_look_for_caller, &scratch, 0);
  return scratch->code <= 1;
}

// What stands in front of a return address.
enum lt_unwind_call {
  // No call.
  LT_UNWIND_NO_CALL,
  // A call of something else, one that does not tell what it calls, or code that cannot be read.
  LT_UNWIND_SOME_CALL,
  // A call of the function that scratch->lookup lies in, if no other begins between the two: scratch->prologue.address.
  LT_UNWIND_OWN_CALL,
};

// The rule code for an address by what is published; LT_UNWIND_RULE_ID_EMPTY where nothing is.
static __noinline __u32 lt_unwind_rule_at(__u64 view, __u64 address) {
  __u32 first = LT_UNWIND_VIEW_FIRST(view);
  int index = lt_unwind_find_mapping(first, LT_UNWIND_VIEW_COUNT(view), address);
  __u32 key = first + index;
  struct lt_unwind_mapping *mapping = index < 0 ? NULL : bpf_map_lookup_elem(&lt_unwind_mappings, &key);

  if (!mapping || address - mapping->start >= mapping->length)
    return LT_UNWIND_RULE_ID_EMPTY;
  return lt_unwind_table_rule(mapping, address);
}

// Whether a call instruction stands in front of a return address. One read and no more: generated code has many such frames.
static __noinline bool lt_unwind_is_behind_call(struct lt_unwind_scratch *scratch, __u64 address) {
  __u64 word = 0;

  // The page of code that is executed may have been dropped.
  if (bpf_probe_read_user(&word, sizeof(word), (void *)(address - LT_CALL_BYTES)))
    return lt_unwind_is_code(scratch->view, address - 1);
  return lt_is_direct_call(word) || lt_is_slot_call(word) || lt_is_computed_call(word);
}

// What stands in front of a return address at scratch->wanted_start.
__noinline int lt_unwind_call_before(struct lt_unwind_scratch *scratch) {
  __u64 word = 0, target, slot = 0;
  if (!scratch)
    return LT_UNWIND_NO_CALL;

  __u64 address = scratch->wanted_start, lookup = scratch->lookup;
  if (bpf_probe_read_user(&word, sizeof(word), (void *)(address - LT_CALL_BYTES)))
    return LT_UNWIND_SOME_CALL;
  target = lt_call_operand(word, address);
  if (lt_is_slot_call(word))
    slot = target;
  else if (!lt_is_direct_call(word))
    return lt_is_computed_call(word) ? LT_UNWIND_SOME_CALL : LT_UNWIND_NO_CALL;
  if (!slot && lookup - target >= LT_UNWIND_FUNCTION_BYTES) {
    // Perhaps an entry of a procedure linkage table.
    if (bpf_probe_read_user(&word, sizeof(word), (void *)target))
      return LT_UNWIND_SOME_CALL;
    __u64 entry = target + lt_landing_pad_bytes(word);
    if (entry != target && bpf_probe_read_user(&word, sizeof(word), (void *)entry))
      return LT_UNWIND_SOME_CALL;
    slot = lt_linkage_slot(word, entry);
  }
  if (slot && bpf_probe_read_user(&target, sizeof(target), (void *)slot))
    return LT_UNWIND_SOME_CALL;
  if (lt_unwind_rule_at(scratch->view, target) != LT_UNWIND_RULE_ID_NO_ROW)
    return LT_UNWIND_SOME_CALL;
  scratch->prologue.address = target;
  return lookup - target < LT_UNWIND_FUNCTION_BYTES ? LT_UNWIND_OWN_CALL : LT_UNWIND_SOME_CALL;
}

// Reads the beginning of the function at scratch->prologue.address, up to where the frame is in it.
static __noinline void lt_unwind_read_prologue(struct lt_unwind_scratch *scratch) {
  scratch->prologue.bytes = 0;
  scratch->prologue.frame_pointer = 0;
  for (int i = 0; i < LT_UNWIND_PROLOGUE_INSTRUCTIONS; i++) {
    __u64 word = 0, address = scratch->prologue.address;
    if (address >= scratch->lookup || bpf_probe_read_user(&word, sizeof(word), (void *)address) ||
        !lt_prologue_step(&scratch->prologue, word))
      break;
  }
}

// Looks whether the word at scratch->wanted_end is the return address of the current frame; bpf_loop's callback. The call in
// front of it leads to a function without call-frame information that begins before the place in it, and the beginning of that
// function says that its return address lies just there. Words that earlier calls have left on the stack stand behind calls,
// too, but do not lie where they should. Leaves the place in scratch->code.
static long lt_unwind_look_for_return([[maybe_unused]] __u32 round, void *context) {
  struct lt_unwind_scratch *scratch = *(struct lt_unwind_scratch **)context;
  __u64 word = 0, place = scratch->wanted_end;

  if (bpf_probe_read_user(&word, sizeof(word), (void *)place))
    return 1;
  scratch->wanted_end = place + sizeof(word);
  // Most words are data: numbers, or addresses of the stack itself.
  if (word < LT_UNWIND_PAGE_BYTES || word >> LT_UNWIND_ADDRESS_BITS ||
      word - scratch->sp < LT_UNWIND_MAX_FRAME_POINTER_DISTANCE)
    return 0;
  scratch->wanted_start = word;
  if (lt_unwind_call_before(scratch) != LT_UNWIND_OWN_CALL ||
      lt_unwind_rule_at(scratch->view, word - 1) == LT_UNWIND_RULE_ID_EMPTY)
    return 0;
  lt_unwind_read_prologue(scratch);
  if (place - scratch->sp != scratch->prologue.bytes)
    return 0;
  scratch->code = place;
  return 1;
}

// Goes on from a frame without call-frame information to its caller: by the frame record at the frame pointer if one is there,
// or else by the return address where the function's beginning says that it lies.
static __noinline int lt_unwind_no_row(struct lt_unwind_scratch *scratch) {
  __u64 record[2] = {}, sp = scratch->sp, fp = scratch->fp;

  if (lt_unwind_is_outermost(scratch))
    return lt_unwind_finish(scratch, LT_OUTCOME_COMPLETE, 0);
  bool is_record = false;
  bool can_be = fp >= sp && fp - sp < LT_UNWIND_MAX_FRAME_POINTER_DISTANCE && !(fp & 7);
  bool is_readable = can_be && !bpf_probe_read_user(record, sizeof(record), (void *)fp);
  if (is_readable)
    is_record = !record[1] || lt_unwind_is_behind_call(scratch, record[1]) || lt_unwind_is_uprobe_page(record[1]);
  if (!is_record) {
    scratch->code = 0;
    scratch->wanted_end = sp;
    bpf_loop(LT_UNWIND_SCANNED_WORDS, lt_unwind_look_for_return, &scratch, 0);
    __u64 place = scratch->code;
    if (place && !bpf_probe_read_user(&record[1], sizeof(record[1]), (void *)place)) {
      if (scratch->prologue.frame_pointer)
        bpf_probe_read_user(&fp, sizeof(fp), (void *)(place - scratch->prologue.frame_pointer));
      lt_unwind_count(LT_UNWIND_FRAME_POINTER_STEP);
      scratch->stack.outcome |= LT_UNWIND_FLAG_FRAME_POINTERS;
      return lt_unwind_push(scratch, record[1], place + 8, fp, 1);
    }
  }
  if (!is_record) {
    bool is_stack = !can_be || is_readable;
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, is_stack ? LT_UNWIND_NO_ROW : LT_UNWIND_UNREADABLE_STACK);
  }
  lt_unwind_count(LT_UNWIND_FRAME_POINTER_STEP);
  scratch->stack.outcome |= LT_UNWIND_FLAG_FRAME_POINTERS;
  return lt_unwind_push(scratch, record[1], fp + 16, record[0], 1);
}

static __always_inline int lt_unwind_signal_step(struct lt_unwind_scratch *scratch, __u64 frame) {
  struct lt_signal_registers registers;

  if (bpf_probe_read_user(&registers, sizeof(registers), (void *)(frame + LT_SIGNAL_REGISTERS_OFFSET)))
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UNREADABLE_STACK);
  scratch->stack.outcome |= LT_UNWIND_FLAG_SIGNAL;
  int step = lt_unwind_push(scratch, registers.program_counter, registers.stack_pointer, registers.frame_pointer, 0);
  // The fast path relies on it.
  if (step == LT_UNWIND_STEP_AGAIN && (registers.stack_pointer & 7))
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);
  return step;
}

// One frame by scratch->code, whatever its rule, but for the one that there is none: LT_UNWIND_STEP_NO_ROW.
__noinline int lt_unwind_special(struct lt_unwind_scratch *scratch) {
  __u32 zero = 0;
  struct lt_unwind_rules *rules = bpf_map_lookup_elem(&lt_unwind_rules, &zero);
  if (!scratch || !rules || !lt_unwind_can_walk())
    return LT_UNWIND_STEP_DONE;

  __u64 code = scratch->code, sp = scratch->sp, fp = scratch->fp;
  __u64 rule = rules->rules[code & (LT_UNWIND_MAX_RULES - 1)], offset = (__s64)rule >> 32, cfa = 0;
  __s64 fp_distance = (__s64)(rule << 32) >> 48;
  __u32 aux = rule >> 8 & 0xff, kind = rule & 0xff;

  if (code & LT_UNWIND_CODE_PLAIN) {
    __u64 slot = code >> LT_UNWIND_CODE_SLOT_SHIFT & LT_UNWIND_CODE_SLOT_MASK;
    kind = (code & LT_UNWIND_CODE_FRAME_POINTER) ? LT_UNWIND_RULE_FRAME_POINTER : LT_UNWIND_RULE_STACK_POINTER;
    offset = (code & LT_UNWIND_CODE_WORDS_MASK) * 8 + 8;
    fp_distance = slot ? -8 - (__s64)slot * 8 : 0;
    aux = 0;
  }
  if (kind == LT_UNWIND_RULE_END)
    return lt_unwind_finish(scratch, LT_OUTCOME_COMPLETE, 0);
  if (kind == LT_UNWIND_RULE_NO_ROW)
    return LT_UNWIND_STEP_NO_ROW;
  if (kind == LT_UNWIND_RULE_SIGNAL)
    return lt_unwind_signal_step(scratch, sp + offset);
  if (kind == LT_UNWIND_RULE_STACK_POINTER) {
    cfa = sp + offset;
  } else if (kind == LT_UNWIND_RULE_FRAME_POINTER) {
    cfa = fp + offset;
  } else if (kind == LT_UNWIND_RULE_PLT) {
    cfa = sp + offset + ((scratch->lookup & 15) >= aux ? 8 : 0);
  } else if (kind == LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED || kind == LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED) {
    __u64 place = (kind == LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED ? sp : fp) + offset;
    if (bpf_probe_read_user(&cfa, sizeof(cfa), (void *)place))
      return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UNREADABLE_STACK);
    cfa += aux & 0x7f;
  } else {
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_UNSUPPORTED_RULE);
  }
  if (cfa <= sp || (cfa & 7))
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);

  // fp's place, or the return address's where fp is not saved; the window must hold both.
  bool is_saved = fp_distance || (aux & LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE);
  __u64 pc_place = cfa - 8, fp_place = is_saved ? cfa + fp_distance : pc_place;
  if (kind != LT_UNWIND_RULE_PLT && (aux & LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE))
    fp_place = fp + fp_distance;
  scratch->wanted_start = fp_place < pc_place ? fp_place : pc_place;
  scratch->wanted_end = (fp_place < pc_place ? pc_place : fp_place) + 8;
  if (scratch->wanted_end - scratch->wanted_start > LT_UNWIND_PAGE_BYTES / 2)
    return lt_unwind_finish(scratch, LT_OUTCOME_BROKEN, LT_UNWIND_INVALID_FRAME);
  if ((scratch->wanted_start < scratch->window_start ||
       scratch->wanted_end > scratch->window_start + scratch->window_limit) &&
      lt_unwind_refill(scratch) == LT_UNWIND_STEP_DONE)
    return LT_UNWIND_STEP_DONE;
  if (is_saved)
    fp = scratch->window[(fp_place - scratch->window_start) >> 3 & (LT_UNWIND_WINDOW_WORDS - 1)];
  __u64 pc = scratch->window[(pc_place - scratch->window_start) >> 3 & (LT_UNWIND_WINDOW_WORDS - 1)];
  return lt_unwind_push(scratch, pc, cfa, fp, 1);
}
