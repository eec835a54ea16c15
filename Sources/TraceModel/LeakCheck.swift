/// What one leak check of one process did and found.
package struct LeakCheckSummary: Hashable, Codable, Sendable {
  package var processID: Int32
  /// How long the process was stopped; zero when it was not.
  package var paused: Duration
  /// From the start of the check until every block had its kind.
  package var took: Duration
  /// Memory searched for pointers: roots and the blocks themselves.
  package var scannedBytes: UInt64
  /// Outstanding blocks by kind, suppressed ones left out.
  package var kinds: [VerdictKind: Tally]
  /// Of all of them, whatever reaches them, the ones of stacks that grow, alone or together with others: they are findings, too.
  /// nil in older recordings.
  package var growing: Tally?
  /// Blocks that a suppression matched.
  package var suppressed: Tally
  /// How the process was read.
  package var method: Method
  /// What the reader must know of this check: what could not be read, what counted as a root and why.
  package var notes: [String]

  package enum Method: String, Hashable, Codable, Sendable {
    /// Stopped while all of its memory was searched.
    case paused
    /// Searched while it ran, twice at least; a block is lost only when every search says so.
    case running
    /// The process was stopped for as long as allowed; the rest was searched while it ran.
    case mixed
    /// Stopped at its exit, before its memory went.
    case atExit = "at_exit"
  }

  package init(
    processID: Int32, paused: Duration = .zero, took: Duration = .zero, scannedBytes: UInt64 = 0,
    kinds: [VerdictKind: Tally] = [:], suppressed: Tally = Tally(), method: Method = .paused,
    notes: [String] = []
  ) {
    self.processID = processID
    self.paused = paused
    self.took = took
    self.scannedBytes = scannedBytes
    self.kinds = kinds
    self.suppressed = suppressed
    self.method = method
    self.notes = notes
  }
}

/// What a leak check says of one block.
package struct BlockVerdict: Hashable, Codable, Sendable {
  package var kind: VerdictKind
  /// For a lost block that others depend on: what is lost with it, itself not included.
  package var keeps: Tally
  /// For a reachable block that only an interpreter's own heap refers to: that heap, such as `CPython arena`.
  package var holder: String?

  package init(kind: VerdictKind, keeps: Tally = Tally(), holder: String? = nil) {
    self.kind = kind
    self.keeps = keeps
    self.holder = holder
  }
}

/// How a program reaches a block, or why it is lost (`--explain`).
package struct BlockExplanation: Hashable, Codable, Sendable {
  package var processID: Int32
  /// The address that was asked for; it may lie inside of the block.
  package var address: UInt64
  /// nil when no outstanding block is there.
  package var block: Block?
  /// From a root to the block, each step a pointer. Empty for a block that nothing points to.
  package var steps: [Step]

  package struct Block: Hashable, Codable, Sendable {
    package var address: UInt64
    package var sizeInBytes: UInt64
    package var kind: VerdictKind
    package init(address: UInt64, sizeInBytes: UInt64, kind: VerdictKind) {
      self.address = address
      self.sizeInBytes = sizeInBytes
      self.kind = kind
    }
  }

  /// One pointer on the way.
  package struct Step: Hashable, Codable, Sendable {
    /// For people, what holds the pointer: a variable, a register, a thread's stack, a block.
    package var holder: String
    /// nil where it is only known to point into the target.
    package var pointer: UInt64?
    /// The block that it leads to.
    package var targetAddress: UInt64
    package var targetSizeInBytes: UInt64
    package var link: Link

    package init(
      holder: String, pointer: UInt64?, targetAddress: UInt64, targetSizeInBytes: UInt64, link: Link
    ) {
      self.holder = holder
      self.pointer = pointer
      self.targetAddress = targetAddress
      self.targetSizeInBytes = targetSizeInBytes
      self.link = link
    }
  }

  package enum Link: String, Hashable, Codable, Sendable {
    /// To the first byte.
    case start
    /// Into the middle, where memcheck's heuristics take it for one to the start.
    case heuristic
    /// Into the middle.
    case interior
    /// The holder lies inside of the target, which it was carved from.
    case carved
  }

  package init(processID: Int32, address: UInt64, block: Block?, steps: [Step] = []) {
    self.processID = processID
    self.address = address
    self.block = block
    self.steps = steps
  }
}

/// How often one line of a suppressions file matched.
package struct SuppressionUse: Hashable, Codable, Sendable {
  /// The suppression as it stands in its file: LeakSanitizer's template, or the name of a Valgrind entry.
  package var pattern: String
  package var matched: Tally
  package init(pattern: String, matched: Tally) {
    self.pattern = pattern
    self.matched = matched
  }
}

/// Whether a site's memory grows over the run, and the numbers that say so.
package struct GrowthEvidence: Hashable, Codable, Sendable {
  package var word: Word
  /// Theil–Sen slope of outstanding bytes over time and its confidence interval, in bytes per second.
  package var slopeInBytesPerSecond: Double
  package var lowerSlope: Double
  package var upperSlope: Double
  /// Confidence of the interval, 0 to 1.
  package var confidence: Double
  /// How many equal windows of the run the slope rests on.
  package var windows: Int
  /// In how many of the run's windows blocks were born that are still alive.
  package var generationsAlive: Int
  /// Part of the blocks born in the run, the youngest tenth of the run left out, that are still alive.
  package var survival: Double?

  package enum Word: String, Hashable, Codable, Sendable, CaseIterable {
    /// Bytes rise through the whole run, and blocks of most generations stay alive.
    case growing
    /// They rose and stay level.
    case plateau
    /// Nearly all of it was allocated at the beginning.
    case startup
    /// Too little or contradictory evidence.
    case unclear
  }

  package init(
    word: Word, slopeInBytesPerSecond: Double, lowerSlope: Double, upperSlope: Double,
    confidence: Double, windows: Int, generationsAlive: Int, survival: Double?
  ) {
    self.word = word
    self.slopeInBytesPerSecond = slopeInBytesPerSecond
    self.lowerSlope = lowerSlope
    self.upperSlope = upperSlope
    self.confidence = confidence
    self.windows = windows
    self.generationsAlive = generationsAlive
    self.survival = survival
  }
}

/// Memory of a process beside what is outstanding: what its allocators keep, and why RSS can grow without a leak.
package struct RetentionSummary: Hashable, Codable, Sendable {
  package var processID: Int32
  /// Resident bytes of the mappings that allocators use for their heaps.
  package var residentHeapBytes: UInt64
  /// Bytes mapped for these heaps.
  package var mappedHeapBytes: UInt64
  /// Outstanding bytes of traced heap blocks.
  package var outstandingBytes: UInt64
  /// Change of the resident heap and of the outstanding bytes since the trace began.
  package var residentHeapGrowth: Int64
  package var outstandingGrowth: Int64
  /// What follows, in one sentence; nil when nothing is to be said.
  package var finding: String?

  package init(
    processID: Int32, residentHeapBytes: UInt64, mappedHeapBytes: UInt64, outstandingBytes: UInt64,
    residentHeapGrowth: Int64, outstandingGrowth: Int64, finding: String? = nil
  ) {
    self.processID = processID
    self.residentHeapBytes = residentHeapBytes
    self.mappedHeapBytes = mappedHeapBytes
    self.outstandingBytes = outstandingBytes
    self.residentHeapGrowth = residentHeapGrowth
    self.outstandingGrowth = outstandingGrowth
    self.finding = finding
  }
}
