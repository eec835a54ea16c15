/// What becomes of the blocks of a case of a program in Tests/Programs/leaks, and who sees it differently.
struct LeakCase {
  var name: String
  var truth: LeakKinds
  /// What memcheck says; as it is, unless told otherwise.
  var memcheck: LeakKinds
  /// What leaktrace says when it is attached at the first step and the program has not begun to end.
  var running: LeakKinds
  /// What LeakSanitizer calls leaked: bytes and blocks.
  var sanitizer: Blocks
  /// Why a tool says something else.
  var reason: String

  init(
    _ name: String, definite: (UInt64, UInt64) = (0, 0), indirect: (UInt64, UInt64) = (0, 0),
    possible: (UInt64, UInt64) = (0, 0), reachable: (UInt64, UInt64) = (0, 0), memcheck: LeakKinds? = nil,
    running: LeakKinds? = nil, sanitizer: (UInt64, UInt64)? = nil, because reason: String = ""
  ) {
    self.name = name
    truth = LeakKinds(definite: definite, indirect: indirect, possible: possible, reachable: reachable)
    self.memcheck = memcheck ?? truth
    self.running = running ?? truth
    self.sanitizer = sanitizer.map { Blocks($0.0, $0.1) } ?? truth.lost
    self.reason = reason
  }
}

/// The truth about each case, as the comments in the programs tell it.
enum LeakTruth {
  /// Tests/Programs/leaks/pointers.c.
  static let pointers: [LeakCase] = [
    LeakCase("start", reachable: (48, 1)),
    LeakCase("chain", reachable: (80, 2)),
    LeakCase("lost", definite: (48, 1)),
    LeakCase("lost_chain", definite: (32, 1), indirect: (48, 1)),
    LeakCase("interior", possible: (48, 1)),
    LeakCase("chain_interior", possible: (48, 1), reachable: (32, 1)),
    LeakCase("interior_chain", possible: (80, 2)),
    LeakCase("interior_interior", possible: (80, 2)),
    LeakCase("lost_interior", definite: (32, 1), indirect: (48, 1)),
    LeakCase("last_byte", possible: (48, 1)),
    LeakCase("past_end", definite: (40, 1)),
    LeakCase("slack", definite: (20, 1)),
    LeakCase("before_start", definite: (48, 1)),
    LeakCase("start_and_interior", definite: (32, 1), reachable: (96, 2)),
    LeakCase("diamond", reachable: (112, 3)),
    LeakCase("weaker_path", possible: (32, 1), reachable: (80, 2)),
    LeakCase("rescued", definite: (32, 1), reachable: (48, 1)),
    LeakCase("rescued_interior", definite: (32, 1), possible: (48, 1)),
    LeakCase("unaligned", definite: (48, 1)),
    LeakCase("unaligned_in_block", definite: (48, 1), reachable: (32, 1)),
    LeakCase("low_tag", possible: (48, 1)),
    LeakCase("high_tag", definite: (48, 1)),
    LeakCase("exclusive_or", definite: (48, 1)),
    LeakCase("complement", definite: (48, 1)),
    LeakCase("halves", definite: (48, 1)),
    LeakCase("overwritten", definite: (48, 1), reachable: (48, 1)),
    LeakCase("nulled", definite: (48, 1)),
    LeakCase(
      "freed_owner", definite: (48, 1), running: LeakKinds(reachable: (48, 1)),
      because: "in a heap that is not known from its beginning free memory counts as a root"),
    LeakCase(
      "freed_middle", definite: (48, 1), reachable: (32, 1), running: LeakKinds(reachable: (80, 2)),
      because: "in a heap that is not known from its beginning free memory counts as a root"),
  ]

  /// shapes.c.
  static let shapes: [LeakCase] = [
    LeakCase("tree_kept", reachable: (1984, 31)),
    LeakCase("tree_lost", definite: (64, 1), indirect: (1920, 30)),
    LeakCase("tree_pruned", definite: (64, 1), indirect: (896, 14), reachable: (1024, 16)),
    LeakCase("list_kept", reachable: (64_000, 1000)),
    LeakCase("list_lost", definite: (64, 1), indirect: (63_936, 999)),
    LeakCase("list_from_middle", definite: (64, 1), indirect: (3136, 49), reachable: (3200, 50)),
    LeakCase("list_end", definite: (64, 1), indirect: (6272, 98), reachable: (64, 1)),
    LeakCase("list_both_ways_end", reachable: (6400, 100)),
    LeakCase("list_both_ways_lost", definite: (64, 1), indirect: (6336, 99)),
    LeakCase("list_deep", definite: (64, 1), indirect: (2_559_936, 39_999)),
    LeakCase("ring_kept", reachable: (640, 10)),
    LeakCase("ring_lost", definite: (64, 1), indirect: (576, 9)),
    LeakCase("ring_closed_inside", definite: (64, 1), indirect: (576, 9)),
    LeakCase("ring_possible", possible: (640, 10)),
    LeakCase("self", definite: (64, 1)),
    LeakCase("self_inside", definite: (64, 1)),
    LeakCase("ring_between", definite: (64, 1), indirect: (256, 4)),
    LeakCase("clique_kept", reachable: (320, 5)),
    LeakCase("clique_lost", definite: (64, 1), indirect: (256, 4)),
    LeakCase("clique_possible", possible: (320, 5)),
    LeakCase("clique_to_clique", definite: (64, 1), indirect: (576, 9)),
    LeakCase("clique_to_earlier", definite: (64, 1), indirect: (576, 9)),
    LeakCase("clique_shared", definite: (128, 2), indirect: (832, 13)),
    LeakCase("clique_chain", definite: (64, 1), indirect: (2496, 39)),
    LeakCase("shared_child", definite: (128, 2), indirect: (64, 1)),
    LeakCase("pool_kept", reachable: (67_936, 101)),
    LeakCase("pool_lost", definite: (65_536, 1), indirect: (2400, 100)),
    LeakCase("pool_object", possible: (67_936, 101)),
    LeakCase(
      "empty", definite: (0, 3), reachable: (0, 1), sanitizer: (3, 3),
      because: "LeakSanitizer counts a byte where none was asked for"),
    LeakCase("large_kept", reachable: (1_048_768, 4)),
    LeakCase("large_lost", definite: (1_048_576, 1), indirect: (128, 2)),
    LeakCase("large_interior", possible: (1_048_640, 2)),
    LeakCase("large_with_hole", reachable: (1_048_704, 3)),
    LeakCase("callocs", definite: (160, 1), reachable: (400, 1)),
    LeakCase("realloc_kept", reachable: (65_568, 2)),
    LeakCase("realloc_lost", definite: (32_768, 1), indirect: (32, 1)),
    LeakCase("aligned", definite: (620, 3), reachable: (620, 3)),
    LeakCase("realloc_old_pointer", definite: (300_000, 1)),
  ]

  /// roots.c.
  static let roots: [LeakCase] = [
    LeakCase("data", reachable: (48, 1)),
    LeakCase("bss", reachable: (48, 1)),
    LeakCase("array_end", reachable: (48, 1)),
    LeakCase("static_local", reachable: (48, 1)),
    LeakCase("tls_bss", reachable: (48, 1)),
    LeakCase("tls_data", reachable: (48, 1)),
    LeakCase("tls_array_end", reachable: (48, 1)),
    LeakCase("key_first", reachable: (48, 1)),
    LeakCase("key_second", reachable: (560, 2)),
    LeakCase("constructor", definite: (48, 1), running: LeakKinds()),
    LeakCase("destructor", definite: (48, 1), running: LeakKinds()),
    LeakCase("exit_handler", definite: (48, 1), running: LeakKinds()),
    LeakCase(
      "mapping", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer knows no roots among mappings of the program"),
    LeakCase(
      "mapping_shared", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer knows no roots among mappings of the program"),
    LeakCase(
      "mapping_file", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer knows no roots among mappings of the program"),
    LeakCase(
      "mapping_read_only", reachable: (48, 1), memcheck: LeakKinds(definite: (48, 1)), sanitizer: (48, 1),
      because: "both look only at memory that can be written at that moment"),
    LeakCase("mapping_hole", reachable: (96, 2)),
    LeakCase(
      "mapping_cut_short", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer knows no roots among mappings of the program"),
    LeakCase("mapping_gone", definite: (48, 1)),
    LeakCase("mapping_emptied", definite: (48, 1)),
    LeakCase(
      "mapping_lost", indirect: (48, 1), memcheck: LeakKinds(reachable: (48, 1)),
      because: "to memcheck mappings are roots, to leaktrace they are blocks"),
    LeakCase(
      "own_break", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer knows no roots among mappings of the program"),
    LeakCase(
      "epoll", reachable: (48, 1), memcheck: LeakKinds(definite: (48, 1)), sanitizer: (48, 1),
      because: "neither asks the kernel"),
    LeakCase(
      "timer", reachable: (48, 1), memcheck: LeakKinds(definite: (48, 1)), sanitizer: (48, 1),
      because: "neither asks the kernel"),
    LeakCase("environment", reachable: (48, 1)),
    LeakCase("open_file", reachable: (1496, 2)),
    LeakCase("pipe", definite: (48, 1)),
    LeakCase("stack_stale", definite: (48, 1)),
    LeakCase("thread_tls", reachable: (48, 1)),
    LeakCase("thread_key_first", reachable: (48, 1)),
    LeakCase("thread_key_second", reachable: (560, 2)),
    LeakCase("thread_stack", reachable: (48, 1)),
    LeakCase("thread_many", reachable: (960, 20)),
    LeakCase("thread_own_stack", reachable: (524_336, 2)),
    LeakCase("ended_tls", definite: (48, 1)),
    LeakCase("ended_key", definite: (96, 2)),
    LeakCase("ended_stack", definite: (48, 1)),
    LeakCase("ended_dropped", definite: (48, 1)),
    LeakCase("context_suspended", reachable: (131_120, 2)),
    LeakCase("stack", reachable: (48, 1)),
    LeakCase("stack_large_frame", reachable: (96, 2)),
    LeakCase("signal_main_stack", reachable: (48, 1)),
    LeakCase("signal_register", reachable: (48, 1)),
    LeakCase("context_running", reachable: (262_192, 2)),
    LeakCase(
      "signal_own_stack", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer does not look at a signal stack that is a mapping"),
    LeakCase("red_zone", reachable: (48, 1)),
    LeakCase("register_general", reachable: (48, 1)),
    LeakCase(
      "register_vector", reachable: (48, 1), memcheck: LeakKinds(definite: (48, 1)),
      because: "memcheck looks at general registers only"),
    LeakCase("register_at_end", definite: (48, 1)),
  ]

  /// plain.cpp.
  static let plain: [LeakCase] = [
    LeakCase("deep", definite: (1776, 96)),
    LeakCase("list", definite: (24, 1), indirect: (240, 10)),
    LeakCase("deque", definite: (80, 1), indirect: (3728, 8)),
    LeakCase("shared_cycle", definite: (56, 1), indirect: (104, 3)),
    LeakCase("left_below", definite: (6, 1)),
    LeakCase(
      "detached_result", definite: (48, 1), memcheck: LeakKinds(reachable: (48, 1)),
      because: "to memcheck a stack kept for later threads is in use"),
    LeakCase(
      "joined_result", definite: (48, 1), memcheck: LeakKinds(reachable: (48, 1)),
      because: "to memcheck a stack kept for later threads is in use"),
    LeakCase(
      "unjoined_result", reachable: (48, 1), sanitizer: (48, 1),
      because: "LeakSanitizer does not look at threads that have ended"),
    LeakCase("ended_keeper", definite: (96, 2)),
  ]

  /// modules.c and library.c.
  static let modules: [LeakCase] = [
    LeakCase("linked_data", reachable: (48, 1)),
    LeakCase("linked_bss", reachable: (48, 1)),
    LeakCase("linked_variable", reachable: (48, 1)),
    LeakCase("linked_large_variable", reachable: (48, 1)),
    LeakCase("opened_data", reachable: (48, 1)),
    LeakCase("opened_bss", reachable: (48, 1)),
    LeakCase("opened_variable", reachable: (48, 1)),
    LeakCase("opened_large_variable", reachable: (48, 1)),
    LeakCase(
      "library_constructor", definite: (120, 3), running: LeakKinds(), sanitizer: (80, 2),
      because: "LeakSanitizer cannot name the functions of a library that is gone"),
    LeakCase("ended_variables", definite: (96, 2)),
    LeakCase(
      "thread_variables", reachable: (96, 2), memcheck: LeakKinds(possible: (48, 1), reachable: (48, 1)),
      because: "memcheck finds a thread's vector of variables through an interior pointer, and so what hangs on it"),
    LeakCase("closed_data", definite: (96, 2)),
  ]

  /// heuristics.cpp.
  static let heuristics: [LeakCase] = [
    LeakCase("string", reachable: (125, 1)),
    LeakCase("string_lost", definite: (225, 1)),
    LeakCase("string_middle", possible: (325, 1)),
    LeakCase("string_alike", possible: (128, 1)),
    LeakCase("array", reachable: (248, 1)),
    LeakCase("array_second", possible: (272, 1)),
    LeakCase("array_lost", definite: (296, 1)),
    LeakCase(
      "array_empty", reachable: (8, 1), memcheck: LeakKinds(definite: (8, 1)),
      because: "the pointer to no elements lies one past the end of their number, and is the only one there can be"),
    LeakCase("array_alike", possible: (58, 1)),
    LeakCase("second_base", reachable: (64, 1)),
    LeakCase("second_base_alike", possible: (56, 1)),
    LeakCase("second_base_lost", definite: (64, 1)),
    LeakCase("length", reachable: (80, 1)),
    LeakCase("length_alike", possible: (88, 1)),
    LeakCase("owner", reachable: (208, 4)),
  ]

  /// allocations.cpp.
  static let allocations: [LeakCase] = [
    LeakCase("new_object", definite: (24, 1), reachable: (24, 1)),
    LeakCase("new_array", definite: (96, 1), reachable: (120, 1)),
    LeakCase("new_characters", definite: (100, 1), reachable: (108, 1)),
    LeakCase("new_nothrow", definite: (24, 1), reachable: (48, 1)),
    LeakCase("new_aligned", definite: (128, 1), reachable: (256, 1)),
    LeakCase("vector_kept", reachable: (854, 12)),
    LeakCase(
      "vector_lost", definite: (24, 1), indirect: (830, 11), sanitizer: (24, 1),
      because: "LeakSanitizer's blocks lie side by side: the end of another vector points to the elements"),
    LeakCase("vector_of_short", definite: (24, 1), indirect: (320, 1)),
    LeakCase("map_kept", reachable: (11_348, 201)),
    LeakCase("map_lost", definite: (48, 1), indirect: (11_300, 200)),
    LeakCase("map_of_pointers", definite: (1200, 50), reachable: (6048, 151)),
    LeakCase("list_kept", reachable: (2024, 51)),
    LeakCase("list_lost", definite: (24, 1), indirect: (2000, 50)),
    LeakCase("hash_kept", reachable: (5332, 122)),
    LeakCase("hash_lost", definite: (56, 1), indirect: (5276, 121)),
    LeakCase("shared_cycle", definite: (64, 1), indirect: (64, 1)),
    LeakCase("shared_lost", definite: (16, 1), indirect: (48, 2)),
    LeakCase("shared_object_only", possible: (40, 1), reachable: (16, 1)),
    LeakCase("released", definite: (24, 1)),
    LeakCase("function", definite: (32, 1), indirect: (64, 1)),
    LeakCase("pool_kept", reachable: (36_448, 1006)),
    LeakCase("pool_lost", definite: (32, 1), indirect: (36_416, 1005)),
    LeakCase("duplicated", definite: (27, 1)),
    LeakCase("printed", definite: (201, 1)),
    LeakCase("line", definite: (120, 1)),
    LeakCase("exception", definite: (24, 1)),
    LeakCase("peak", definite: (960, 10)),
    LeakCase("nothing"),
    LeakCase("global_containers", running: LeakKinds(reachable: (24 + 20 * 32 + 20 * 61, 22))),
    LeakCase("global_pointer", reachable: (24, 1)),
  ]
}
