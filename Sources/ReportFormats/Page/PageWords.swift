import TextOutput

/// What the words of pages mean, in the order in which a reader meets them. A page explains a word where it stands, and all
/// of them in one place.
enum PageWords {
  static let all: [(word: String, meaning: String)] = [
    ("outstanding", "Allocated since the trace began, and not freed until now. Outstanding memory is not yet a leak."),
    ("block", "One piece of memory that an allocator handed out."),
    ("allocated", "Everything that was handed out since the trace began, also what has been freed again."),
    ("freed", "What was given back of that. Outstanding is the difference."),
    ("unmatched frees", "Frees of blocks that leaktrace did not see allocated: they are from before the trace."),
    ("lost", "Definitely and indirectly lost together: what the program can never free any more."),
    ("definitely lost", "No pointer anywhere in the process leads to the block: the program can never free it."),
    ("indirectly lost", "Only blocks lead to it that are lost themselves. Free those rightly, and it goes with them."),
    ("possibly lost", "Only pointers into its middle lead to it. Some programs keep such pointers on purpose."),
    (
      "still reachable",
      "A chain of pointers leads to it from a variable, a stack or a register: the program could still free it. "
        + "It is a leak all the same if it only grows."
    ),
    (
      "unchecked",
      "No leak check looked at the block: it is too young, it changed meanwhile, or no check was asked for."
    ),
    ("keeps", "What is lost along with lost blocks, because only they lead to it."),
    (
      "held by",
      "Where the chains of pointers begin that lead to the blocks: a variable, a thread's stack, an "
        + "interpreter's heap. Who shall let go of the memory is decided there."
    ),
    (
      "freed in",
      "Where blocks of the same stack are given back as a rule. The way that does not pass there is the one "
        + "that forgets."
    ),
    ("rate", "How fast outstanding memory grows: the median slope between all pairs of moments of the run."),
    (
      "interval",
      "The true rate lies in it with a probability of 95 %. An interval that reaches below 0 does not prove "
        + "growth."
    ),
    ("of growth", "The part of all growth that this one has."),
    ("held", "What is outstanding of it now."),
    (
      "kind",
      "What the leak check says of most of it; where it is reachable, who holds it; without a check, how it "
        + "grows."
    ),
    (
      "first frame of yours",
      "The innermost function of a stack that is neither an allocator's, nor the runtime's, nor std::. Stacks "
        + "that share it are one finding."
    ),
    ("growing", "It rises through the whole run, and blocks of most parts of the run stay."),
    ("plateau", "It rose and stays level: a cache that is full, a pool."),
    ("startup", "Nearly all of it was allocated at the beginning of the program."),
    ("unclear", "The run is too short, or the evidence contradicts itself: nothing can be said."),
    ("bounded", "It does not grow any more: a plateau, or memory from the start of the program."),
    (
      "course",
      "What the stack held over the run: in each of at most 64 parts of the run the least, since what is freed "
        + "at once is no growth."
    ),
    ("window", "One of at most 64 equal parts of a run."),
    ("survivor", "A block that still lives. A leak has survivors from most windows, a cache from few."),
    ("oldest", "The age of the oldest block that is outstanding."),
    (
      "sampling error",
      "With --sample-bytes a chosen block stands for many. One standard error: with a probability of two thirds "
        + "the truth is no further away."
    ),
    (
      "missed while tracing",
      "Records that were dropped, or stacks that could not be followed. Where it is not 0, numbers can be too "
        + "small."
    ),
    ("INCOMPLETE", "So many records are missing that no word about growth can rest on them."),
    ("CANNOT TELL", "What was seen does not support an answer, for the reason that is given."),
    (
      "process",
      "The process whose memory it is. For the kernel: the process on whose behalf most of it was allocated."
    ),
    (
      "resident memory",
      "What the process occupies in memory (RSS), pages that it shares with others included. It can grow "
        + "without a leak, when the allocator keeps what was freed."
    ),
    (
      "self, total",
      "Self is what a function allocates itself, or through library functions that are hidden; total adds what "
        + "it does through others that it calls."
    ),
    ("stack", "A call stack: all allocations of one process with the same calls."),
  ]

  /// All of them as elements that open.
  static var markup: String {
    all.map { entry in
      let word = escapedForMarkup(entry.word)
      let meaning = escapedForMarkup(entry.meaning)
      return "<details data-word=\"\(word)\"><summary>\(word)</summary><p>\(meaning)</p></details>\n"
    }.joined()
  }
}
