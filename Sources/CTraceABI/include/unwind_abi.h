// What the stack walker in BPF/unwind/unwind.bpf.h and the table loader in Swift share.
//
// An unwind *table* holds the call-frame information of one file, converted from `.eh_frame`. It is a run of 32-bit
// words inside a *chunk*, a BPF array of 4 KiB pages:
//
//   word 0 … blocks        block b's first row; a block is 256 bytes of text, and word `blocks` is the row count
//   word blocks + 1 …      the rows, ascending: bits 31–24 the offset in the block, bits 15–0 a rule code
//
// The row that covers a pc is the last one of its block at or below the pc's offset, or else the row before the block's
// first.
//
// A rule code tells in 16 bits how to find a caller's stack pointer (sp) and frame pointer (fp). Nearly all rules are plain and fit in:
//   bit 15      1
//   bit 14      the CFA counts from fp (1) or sp (0)
//   bits 13–11  fp is saved this many words below the return address; 0: fp holds the caller's value
//   bits 10–0   how many words the return address is above the base register; the CFA is the word after it
// The others (bit 15 is 0) are identifiers in the session-wide dictionary `lt_unwind_rules`.
#pragma once
#include <linux/types.h>

#include "allocation_abi.h"
#include "frame_abi.h"

// The deepest stack that is recorded, leaf included.
#define LT_MAX_STACK_DEPTH 127

#define LT_UNWIND_BLOCK_SHIFT 8
#define LT_UNWIND_PAGE_WORDS 1024
#define LT_UNWIND_PAGE_BYTES 4096

// User addresses that the walker accepts lie below 2^LT_UNWIND_ADDRESS_BITS.
#define LT_UNWIND_ADDRESS_BITS 47
// What the walker finds and accepts is a native frame as it stands.
_Static_assert(LT_UNWIND_ADDRESS_BITS == LT_FRAME_KIND_SHIFT && LT_FRAME_NATIVE == 0, "addresses are native frames");

#define LT_UNWIND_CODE_PLAIN 0x8000
#define LT_UNWIND_CODE_FRAME_POINTER 0x4000
#define LT_UNWIND_CODE_SLOT_SHIFT 11
#define LT_UNWIND_CODE_SLOT_MASK 7
#define LT_UNWIND_CODE_WORDS_MASK 0x7ff

// A rule of the dictionary.
//   bits 63–32  the CFA's offset, signed
//   bits 31–16  where fp is saved, as a signed offset from the CFA; 0: fp holds the caller's value
//   bits 15–8   the auxiliary value below
//   bits 7–0    the kind
// The return address is at CFA − 8, but for SIGNAL.
enum lt_unwind_rule_kind {
  // CFA = sp + offset; here only if it does not fit a rule code.
  LT_UNWIND_RULE_STACK_POINTER = 0,
  // CFA = fp + offset.
  LT_UNWIND_RULE_FRAME_POINTER = 1,
  // CFA = *(sp + offset) + (aux & 127); with aux bit 7 fp is saved at fp + its offset, not at CFA + its offset.
  LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED = 2,
  // CFA = *(fp + offset) + (aux & 127); aux as above.
  LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED = 3,
  // An entry of a procedure linkage table: CFA = sp + offset + (pc & 15 >= aux ? 8 : 0).
  LT_UNWIND_RULE_PLT = 4,
  // The kernel's signal frame (struct rt_sigframe without its return address) starts at sp + offset.
  LT_UNWIND_RULE_SIGNAL = 5,
  // The outermost frame: the return address is undefined.
  LT_UNWIND_RULE_END = 6,
  // The call-frame information says something that the walker cannot express.
  LT_UNWIND_RULE_UNSUPPORTED = 7,
  // No call-frame information covers the pc; the walker takes a frame-pointer step.
  LT_UNWIND_RULE_NO_ROW = 8,
};
#define LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE 0x80

// Rule identifiers with a fixed meaning. 0 is never a rule: it marks an empty cache word.
enum lt_unwind_rule_id {
  LT_UNWIND_RULE_ID_EMPTY = 0,
  LT_UNWIND_RULE_ID_NO_ROW = 1,
  LT_UNWIND_RULE_ID_END = 2,
  LT_UNWIND_RULE_ID_UNSUPPORTED = 3,
  LT_UNWIND_FIRST_FREE_RULE_ID = 4,
};
// A power of two, at most 32,768.
#define LT_UNWIND_MAX_RULES 8192

// The cache from (address space, pc) to a rule code: 2-way sets of words, each word tag << 16 | rule code.
// The set index and the tag together hold all bits of the key, so a hit is never another pc's or another process's.
// The multiplier keeps neighbours together: one set for 64 bytes of text, one cache line of the processor for 256.
#define LT_UNWIND_CACHE_WORDS 65536
#define LT_UNWIND_CACHE_MULTIPLIER ((1ULL << 42) + 0x1e4ba7c15ULL)
// Remembers pages just above a stack that could not be read, so that windows stop short of them.
#define LT_UNWIND_UNREADABLE_PAGES 256
#define LT_UNWIND_PAGE_MULTIPLIER 0x9e3779b97f4a7c15ULL

struct lt_unwind_cache {
  __u64 words[LT_UNWIND_CACHE_WORDS];
  // page number << 16 | address space
  __u64 unreadable_pages[LT_UNWIND_UNREADABLE_PAGES];
};

struct lt_unwind_rules {
  __u64 rules[LT_UNWIND_MAX_RULES];
};

// Session-wide state.
struct lt_unwind_session {
  // The address space identifier to give out next, by atomic increment. A value above LT_UNWIND_MAX_ADDRESS_SPACE means
  // that none is left: walks then go uncached until user space has emptied the cache and started again at 1.
  __u64 next_address_space;
};
#define LT_UNWIND_MAX_ADDRESS_SPACE 65535

// How many chunks of tables there can be, and the values of lt_unwind_mapping.chunk that are no chunk.
#define LT_UNWIND_MAX_CHUNKS 64
// Executable memory without a table (generated code, a file without call-frame information).
#define LT_UNWIND_CHUNK_NONE 0xffffffffu
// Unmapped or replaced since user space published it.
#define LT_UNWIND_CHUNK_GONE 0xfffffffeu
// A file whose table did not fit. Its code may have no frame pointers, so walks end here.
#define LT_UNWIND_CHUNK_REFUSED 0xfffffffdu

// An executable mapping. The mappings of a process are a run of these, ascending by start, in `lt_unwind_mappings`.
struct lt_unwind_mapping {
  __u64 start;
  // The address at which block 0 of the table begins in this process.
  __u64 table_start;
  // Bytes, at most 4 GiB − 1; longer mappings are split.
  __u32 length;
  __u32 chunk;
  // Index of the table's word 0 in the chunk.
  __u32 first_word;
  __u32 block_count;
  // Of the area when it was published, see struct lt_unwind_area.
  __u64 identity;
};
#define LT_UNWIND_MAX_MAPPINGS 16384
#define LT_UNWIND_MAX_PROCESS_MAPPINGS 4095

// A process slot. Readers load `generation` first and `view` second; writers clear `view`, then set `generation`, then
// set `view`.
struct lt_unwind_process {
  // Bits 63–48 the address space identifier (0: do not cache), 47–32 the number of mappings, 31–0 the first mapping's
  // index. 0: nothing is published.
  __u64 view;
  // The slot's generation that `view` belongs to.
  __u32 generation;
  // enum lt_unwind_request_state.
  __u32 requested;
  // The last state of the address space in which the mappings of a view were compared and found right: the view's address
  // space identifier in bits 63–48, the state below.
  __u64 validated;
  // How many executable pages there were then.
  __u64 executable_pages;
  // Raised whenever mappings are known to have been taken away or replaced: the same address may mean something else in
  // each epoch. It outlives the slot's processes.
  __u32 epoch;
  // Samples of this process that user space has not taken yet.
  __u32 waiting_samples;
  // Walks since then that could not compare the mappings and relied on the number of executable pages.
  __u32 doubtful;
  __u32 reserved;
};
#define LT_UNWIND_STATE_MASK 0xffffffffffffULL

// An executable area of a process as the kernel has it.
struct lt_unwind_area {
  __u64 start;
  __u64 end;
  // Differs between areas that show different things; the same for the parts of what was one area. 0: not known.
  __u64 identity;
};
// The identity of all anonymous memory.
#define LT_UNWIND_ANONYMOUS 1

enum lt_unwind_request_state {
  LT_UNWIND_REQUEST_NONE = 0,
  // A request for this process is on its way to user space.
  LT_UNWIND_REQUEST_PENDING = 1,
  // The last request named an address that is not mapped: only new mappings are worth another one for a while.
  LT_UNWIND_REQUEST_MUTED = 2,
};

// Asks user space to read a process's mappings again; sent through the ring buffer `lt_unwind_requests`.
struct lt_unwind_request {
  __u32 process_slot;
  __u32 generation;
  __u32 process_id;
  __u32 reserved;
  // The address that no mapping covers; 0 when a mapping system call asks.
  __u64 address;
};

// The outcome of a walk: a status, the reason why it ended early, and flags.
enum lt_unwind_outcome {
  // The walk reached the outermost frame.
  LT_OUTCOME_COMPLETE = 0,
  // The stack has more than LT_MAX_STACK_DEPTH frames.
  LT_OUTCOME_TRUNCATED = 1,
  // The walk stopped for LT_UNWIND_REASON; the frames so far are right.
  LT_OUTCOME_BROKEN = 2,
  // The kernel's walk by frame pointers: callers without one are missing.
  LT_OUTCOME_FRAME_POINTERS = 3,
};
#define LT_UNWIND_STATUS(outcome) ((outcome)&0xff)
#define LT_UNWIND_REASON(outcome) (((outcome) >> 8) & 0xff)
// A frame-pointer step crossed code without call-frame information: frames after it may be wrong.
#define LT_UNWIND_FLAG_FRAME_POINTERS 0x10000
// The stack has a signal frame; the frame that it interrupted is an exact pc.
#define LT_UNWIND_FLAG_SIGNAL 0x20000
// A return address that a uretprobe had replaced was put back.
#define LT_UNWIND_FLAG_UPROBE 0x40000

// Why a walk broke, one X per reason: enumerator, name in reports, meaning.
// A reason is the identifier of its counter, too.
#define LT_UNWIND_REASONS(X)                                                              \
  X(NO_TABLES, no_tables, "nothing is known of the process yet")                          \
  X(UNKNOWN_MAPPING, unknown_mapping, "the pc is in no known executable mapping")         \
  X(REFUSED_TABLE, refused_table, "the file's table did not fit into memory")             \
  X(NO_ROW, no_row, "no call-frame information and no frame pointer")                     \
  X(UNREADABLE_STACK, unreadable_stack, "the stack could not be read")                    \
  X(UNSUPPORTED_RULE, unsupported_rule, "the call-frame information cannot be expressed") \
  X(INVALID_FRAME, invalid_frame, "the frame's address does not grow or is not aligned")  \
  X(INVALID_ADDRESS, invalid_address, "the return address is no user address")            \
  X(UPROBE_TRAMPOLINE, uprobe_trampoline, "a uretprobe replaced the return address")      \
  X(TOO_MANY_STEPS, too_many_steps, "the walker's own limit of steps")                    \
  X(MAPPINGS_BUSY, mappings_busy, "the mappings were being changed")

// Things that happen during walks, counted beside the reasons.
#define LT_UNWIND_EVENTS(X)                                                                \
  X(DOUBTFUL_STACK, doubtful, "stacks that may be wrong: walked while code was exchanged") \
  X(TRUNCATED_STACK, truncated, "stacks deeper than the limit")                            \
  X(CACHE_MISS, cache_miss, "rules looked up in a table")                                  \
  X(FRAME_POINTER_STEP, frame_pointer_step, "steps without call-frame information")        \
  X(RESTORED_RETURN, restored_return, "return addresses hidden by a uretprobe")            \
  X(SCRATCH_BUSY, scratch_busy, "walks refused because all scratch areas were busy")       \
  X(REQUEST_LOST, request_lost, "requests that did not fit in the ring buffer")            \
  X(INVALIDATION, invalidation, "times that mappings were found unmapped or replaced")     \
  X(VALIDATION, validation, "times that mappings were compared with the process's")

enum lt_unwind_counter {
  LT_UNWIND_NO_REASON = 0,
#define LT_UNWIND_ENUMERATOR(name, label, meaning) LT_UNWIND_##name,
  LT_UNWIND_REASONS(LT_UNWIND_ENUMERATOR) LT_UNWIND_EVENTS(LT_UNWIND_ENUMERATOR)
#undef LT_UNWIND_ENUMERATOR
      LT_UNWIND_COUNTER_COUNT,
};

// A frame without call-frame information that is at most this close below the beginning of the stack may be the outermost.
#define LT_UNWIND_ORIGIN_DISTANCE 1024

// Where code has neither call-frame information nor a frame record, so many words of the stack are looked through for its return
// address. A function is expected to begin at most so many bytes before a place in it, and its frame is made by so many
// instructions.
#define LT_UNWIND_SCANNED_WORDS 128
#define LT_UNWIND_FUNCTION_BYTES 16384
#define LT_UNWIND_PROLOGUE_INSTRUCTIONS 16

// The stack is read in windows of at most this size.
#define LT_UNWIND_WINDOW_BYTES 4096
#define LT_UNWIND_WINDOW_WORDS 512
#define LT_UNWIND_FRAMES_PER_ROUND 32
// How far the beginning of a function has been read.
struct lt_prologue {
  // Of the next instruction.
  __u64 address;
  // How far the instructions so far have moved the stack pointer below the return address, and how far below it the caller's
  // frame pointer is saved; 0: nowhere.
  __u64 bytes;
  __u64 frame_pointer;
};

// One walk's memory. Everything but `stack` is the walker's own.
struct lt_unwind_scratch {
  // The stack found, leaf first. For its outcome see LT_UNWIND_STATUS, LT_UNWIND_REASON and the flags.
  struct lt_stack stack;
  // Room for the frames of one round beyond the deepest stack: a round checks only at its end how deep it is.
  __u64 excess[LT_UNWIND_FRAMES_PER_ROUND];
  // 1 while a walk or its caller uses this memory.
  __u32 busy;
  __u32 process_slot;
  __u32 generation;
  __u32 reserved;
  // The address to look up: the pc, or one less than a return address.
  __u64 lookup;
  __u64 sp;
  __u64 fp;
  // The address space identifier, shifted to its place in the cache's key; 0: do not cache.
  __u64 address_space;
  __u64 view;
  // Address of window[0], and below which place in it fp must be saved; 0: the window is empty.
  __u64 window_start;
  __u64 window_limit;
  // Where the last complete walk ended, and where this one is thought to end.
  __u64 last_end;
  __u64 expected_end;
  // Handed from the fast path to the slow ones: the rule code, or the range of the stack that is needed next.
  __u64 code;
  __u64 wanted_start;
  __u64 wanted_end;
  // The function that is being looked at in place of call-frame information.
  struct lt_prologue prologue;
  __u64 window[LT_UNWIND_WINDOW_WORDS];
};
// How many walks can be under way on one CPU: tasks that preempted each other.
#define LT_UNWIND_SCRATCHES 4

// ---- Samples ------------------------------------------------------------------------------------------------------
// A stack that broke off because user space had not published what it takes: it is told all that it needs to walk on.
#define LT_UNWIND_SAMPLE_STACK_BYTES 16384
#define LT_UNWIND_SAMPLE_AREAS 64
// How many samples of one process can be on their way at once.
#define LT_UNWIND_MAX_WAITING_SAMPLES 48
struct lt_unwind_sample {
  __u32 process_slot;
  __u32 generation;
  __u32 process_id;
  // The pending site; LT_NO_SITE if there was no room for it, and there is nothing to do.
  __u32 site;
  // The site's stack_hash until the stack is complete.
  __u64 pending;
  // Where the walk broke off: the registers of the last frame found, and the address to look up for it.
  __u64 lookup;
  __u64 sp;
  __u64 fp;
  // The view that the walk used; 0: none.
  __u64 view;
  // Where the stack of the program's first thread begins.
  __u64 origin;
  // Whether the kernel can list areas (Linux 6.7).
  __u32 can_list_areas;
  __u32 reserved;
  // The process's executable areas, ascending, as far as they fit; none if they could not be read.
  __u32 area_count;
  __u32 stack_bytes;
  struct lt_unwind_area areas[LT_UNWIND_SAMPLE_AREAS];
  // The stack so far.
  struct lt_stack walked;
  // The stack's memory from sp on follows, LT_UNWIND_SAMPLE_STACK_BYTES of which stack_bytes are good.
};
