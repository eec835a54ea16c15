/// Everything one report shows, whatever its format.
package struct Report: Codable, Sendable {
  package var target: Target
  package var window: Window
  package var probes: [Probe]
  /// nil when every allocation was traced.
  package var sampling: Sampling?
  package var totals: Totals
  /// One entry per process that was traced, followed children included, in order of appearance.
  package var processes: [ProcessTotals]
  /// Causes of loss by their stable names; a report always carries every cause, 0 included.
  package var loss: [LossCounter]
  /// Largest outstanding bytes first unless sorted otherwise.
  package var sites: [AllocationSite]
  /// One entry per process that was checked for leaks; empty when no check was asked for.
  package var leakChecks: [LeakCheckSummary] = []
  /// What was asked about single blocks.
  package var explanations: [BlockExplanation] = []
  /// Stacks that are left out because none of their blocks is of a kind to be shown and they do not grow, and what they hold.
  package var leftOutSites = 0
  package var leftOut = Tally()
  /// What is in the sums and not in `sites` because only so many stacks are shown.
  package var beyondLimit: Omission?
  /// Stacks that allocated in the run, and of whose blocks none is left. Only where a recording is made.
  package var freedSites: [AllocationSite]?
  /// What was taken out of the report after it was recorded; nil when it is whole.
  package var filter: Filter?
  /// What was not recorded because it was not asked for; nil in older recordings.
  package var settings: Settings?
  /// Suppressions that matched something.
  package var suppressions: [SuppressionUse] = []
  /// One entry per running process whose allocators could be looked at.
  package var retention: [RetentionSummary] = []
  /// One entry per running process that has more than one thread, or stacks of ended ones; nil where there is none.
  package var threads: [ThreadSummary]?
  /// What processes have taken that no traced call accounts for; nil where there is none worth a word.
  package var unexplained: [UnexplainedGrowth]?
  /// The files with most frames that have no name, and where names can be had; nil where there is none.
  package var missingSymbols: [MissingSymbols]?
  /// Outstanding memory over the time of the trace, oldest first, at most a few hundred moments.
  package var timeline: [Moment] = []
  /// The limit that memory runs into first when it grows; nil where none is known.
  package var memoryLimit: MemoryLimit?
  /// Only for a trace of the kernel.
  package var kernelMemory: KernelMemorySummary?
  /// Sentences for the reader: what could not be done and what follows from it.
  package var notes: [String]

  package init(
    target: Target, window: Window, probes: [Probe] = [], sampling: Sampling? = nil,
    totals: Totals = Totals(), processes: [ProcessTotals] = [], loss: [LossCounter] = [],
    sites: [AllocationSite] = [], notes: [String] = []
  ) {
    self.target = target
    self.window = window
    self.probes = probes
    self.sampling = sampling
    self.totals = totals
    self.processes = processes
    self.loss = loss
    self.sites = sites
    self.notes = notes
  }

  /// What was traced.
  package struct Target: Hashable, Codable, Sendable {
    package var kind: Kind
    package var processID: Int32?
    /// Command line, arguments joined by spaces.
    package var command: String?
    package var executable: String?
    /// Wait status of a command that leaktrace ran itself: its exit code, or 128 + signal.
    package var exitStatus: Int32?
    /// What the target processes ran, each once; nil in older recordings.
    package var programs: [Program]?
    /// Version of the kernel, of a trace of the kernel.
    package var kernelRelease: String?

    package enum Kind: String, Hashable, Codable, Sendable { case process, command, system, kernel }

    package init(
      kind: Kind, processID: Int32? = nil, command: String? = nil, executable: String? = nil,
      exitStatus: Int32? = nil
    ) {
      self.kind = kind
      self.processID = processID
      self.command = command
      self.executable = executable
      self.exitStatus = exitStatus
    }
  }

  /// The stretch of time the counts cover.
  package struct Window: Hashable, Codable, Sendable {
    /// Seconds since 1970 of the moment the last probe was attached.
    package var startInUnixSeconds: Double
    package var duration: Duration
    package init(startInUnixSeconds: Double, duration: Duration) {
      self.startInUnixSeconds = startInUnixSeconds
      self.duration = duration
    }
  }

  /// One place in an object file that was probed.
  package struct Probe: Hashable, Codable, Sendable {
    package var function: String
    /// Path of the object file as the target sees it.
    package var object: String
    /// Bytes from the start of `function` to the probed instruction.
    package var offset: UInt64
    /// The probed instruction in Intel syntax.
    package var instruction: String
    /// Whether the kernel emulates the instruction instead of single-stepping a copy, which is slower: `doctor -p` measures how
    /// much on this host.
    package var isEmulated: Bool
    package var kind: Kind
    package var hits: UInt64

    package enum Kind: String, Hashable, Codable, Sendable {
      case multiSession = "uprobe.session"
      case multi = "uprobe.multi"
      case perf = "perf uprobe"
      /// The function is led through a gate.
      case gate = "gate"
      case rawTracepoint = "raw tracepoint"
    }

    /// What reports say of single-stepped probes. Their price depends on processor and load.
    package static let steppingCost = "slower: `leaktrace doctor` measures both kinds here"

    package init(
      function: String, object: String, offset: UInt64, instruction: String, isEmulated: Bool,
      kind: Kind, hits: UInt64 = 0
    ) {
      self.function = function
      self.object = object
      self.offset = offset
      self.instruction = instruction
      self.isEmulated = isEmulated
      self.kind = kind
      self.hits = hits
    }
  }

  package struct Sampling: Hashable, Codable, Sendable {
    /// Mean bytes between samples; 0 with `everyNth` for memleak's `-s`.
    package var meanInBytes: UInt64
    package var everyNth: UInt64?
    /// Why and since when it is a sample; nil when one was asked for and nothing was taken out of it.
    package var thinning: Thinning?

    package init(meanInBytes: UInt64, everyNth: UInt64? = nil, thinning: Thinning? = nil) {
      self.meanInBytes = meanInBytes
      self.everyNth = everyNth
      self.thinning = thinning
    }

    /// There were more blocks than are kept one by one, so some were taken out again.
    package struct Thinning: Hashable, Codable, Sendable {
      /// Since when, from the beginning of the trace on.
      package var begin: Duration
      /// How many blocks are kept one by one.
      package var blocks: UInt64

      package init(begin: Duration, blocks: UInt64) {
        self.begin = begin
        self.blocks = blocks
      }
    }
  }

  package struct Totals: Hashable, Codable, Sendable {
    package var outstanding: Tally
    package var allocated: Tally
    package var freed: Tally
    /// Frees of blocks that were not traced: allocated before the attach, filtered or refused.
    package var unmatchedFrees: UInt64
    /// One standard error of `outstanding.bytes` when sampled.
    package var outstandingBytesStandardError: Double?

    package init(
      outstanding: Tally = Tally(), allocated: Tally = Tally(), freed: Tally = Tally(),
      unmatchedFrees: UInt64 = 0, outstandingBytesStandardError: Double? = nil
    ) {
      self.outstanding = outstanding
      self.allocated = allocated
      self.freed = freed
      self.unmatchedFrees = unmatchedFrees
      self.outstandingBytesStandardError = outstandingBytesStandardError
    }
  }

  package struct ProcessTotals: Hashable, Codable, Sendable {
    package var processID: Int32
    package var parentProcessID: Int32?
    package var command: String
    package var state: State
    package var totals: Totals
    /// Path of its control group below the root of the hierarchy.
    package var controlGroup: String?

    /// What became of the process by the time of the report.
    package enum State: String, Hashable, Codable, Sendable {
      case running, exited
      /// It replaced its program; what it held before is gone and counted apart.
      case replaced
    }

    package init(
      processID: Int32, parentProcessID: Int32? = nil, command: String, state: State,
      totals: Totals, controlGroup: String? = nil
    ) {
      self.controlGroup = controlGroup
      self.processID = processID
      self.parentProcessID = parentProcessID
      self.command = command
      self.state = state
      self.totals = totals
    }
  }

  /// Stacks that a report knows of and does not show.
  package struct Omission: Hashable, Codable, Sendable {
    package var sites: Int
    package var outstanding: Tally
    package init(sites: Int = 0, outstanding: Tally = Tally()) {
      self.sites = sites
      self.outstanding = outstanding
    }
  }

  /// Says that a report is a part of another one. All its sums are of that part.
  package struct Filter: Hashable, Codable, Sendable {
    /// For people, such as `--focus parse`.
    package var words: String
    /// What the whole report has outstanding.
    package var whole: Tally
    package init(words: String, whole: Tally) {
      self.words = words
      self.whole = whole
    }
  }

  /// Which blocks a trace records. Recordings that differ in them cannot be compared.
  package struct Settings: Hashable, Codable, Sendable {
    package var minimumSizeInBytes: UInt64 = 0
    package var maximumSizeInBytes: UInt64 = .max
    /// Blocks that were younger at the time of the report are not in its stacks.
    package var minimumAge: Duration = .zero
    package var tracesMappings = true
    package init() {}
  }

  /// A program that target processes ran.
  package struct Program: Hashable, Codable, Sendable {
    package var executable: String?
    /// Of the executable, in hexadecimal digits.
    package var buildID: String?
    /// The allocator whose functions it calls.
    package var allocator: String?
    package init(executable: String? = nil, buildID: String? = nil, allocator: String? = nil) {
      self.executable = executable
      self.buildID = buildID
      self.allocator = allocator
    }
  }

  /// What was outstanding at one moment of the trace.
  package struct Moment: Hashable, Codable, Sendable {
    /// Since the start of the window.
    package var elapsed: Duration
    package var outstanding: Tally
    /// Resident memory of the target's processes, if it was read.
    package var residentBytes: UInt64?
    package init(elapsed: Duration, outstanding: Tally, residentBytes: UInt64? = nil) {
      self.elapsed = elapsed
      self.outstanding = outstanding
      self.residentBytes = residentBytes
    }
  }

  /// A limit of memory, as it was at the end of the window.
  package struct MemoryLimit: Hashable, Codable, Sendable {
    /// Bytes that can still be taken.
    package var leftInBytes: UInt64
    /// `memory limit of /a/b`, `MemAvailable`, `ulimit`.
    package var name: String
    package init(leftInBytes: UInt64, name: String) {
      self.leftInBytes = leftInBytes
      self.name = name
    }
  }

  /// One cause of loss. `name` is stable and machine-readable, `description` is for people.
  package struct LossCounter: Hashable, Codable, Sendable {
    package var name: String
    package var description: String
    package var value: UInt64
    package init(name: String, description: String, value: UInt64) {
      self.name = name
      self.description = description
      self.value = value
    }
  }
}
