import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import TraceModel

/// Everything that reports of one moment are made of. It consists of values only, so nothing that happens later changes it,
/// and all reports that are made of it agree with each other.
package struct TraceSnapshot {
  package var configuration: TraceConfiguration
  /// Which blocks were recorded, at each level at which some are.
  package var sampling: SamplingLevels
  /// When the table of blocks was first thinned, CLOCK_MONOTONIC nanoseconds; nil when it never was.
  package var thinningTime: UInt64?
  /// CLOCK_MONOTONIC nanoseconds: `time` is the moment itself, `startTime` that of the first attach, or 0 before it.
  package var time: UInt64
  package var startTime: UInt64
  package var startInUnixSeconds = 0.0
  /// In the order in which they joined the trace.
  package var processes: [Process] = []
  /// Totals of program images that an exec replaced.
  package var replacedImages: [Report.ProcessTotals] = []
  /// Every site in the kernel's table, and how many places that table has.
  package var sites: [SiteRecord<lt_site>] = []
  package var siteCapacity = 0
  /// Every outstanding heap block; nil when single blocks were not asked for or could not be read.
  package var blocks: [Block]?
  /// The stacks of sites that hold memory, by hash.
  package var stacks: [UInt64: StackTrace] = [:]
  /// The results of leak checks. Of each process the latest comes last.
  package var checks: [any BlockVerdicts] = []
  /// Where blocks were freed, by the place of their site in the kernel's table; empty where that was not looked at.
  var frees: [Int: [TraceTables.FreeRecord]] = [:]
  package var history: OutstandingHistory?
  package var timeline: [Report.Moment] = []
  package var retention: [RetentionSummary] = []
  package var probes: [Report.Probe] = []
  /// Functions in use whose exceptions cannot pass their return probe.
  package var functionsThatMayNotThrow: [String] = []
  /// Every cause of loss except broken stacks, which `walks` has.
  package var losses: [Report.LossCounter] = []
  package var walks = WalkSummary()
  package var notes: [String] = []
  /// Outstanding bytes of each site at the previous report, for sorting by growth.
  var previousOutstanding: [SiteKey: UInt64] = [:]

  package init(configuration: TraceConfiguration, time: UInt64, startTime: UInt64) {
    self.configuration = configuration
    sampling = SamplingLevels(configuration)
    self.time = time
    self.startTime = startTime
  }

  /// A process of the trace, as it was at that moment.
  package struct Process {
    package var processID: Int32
    package var parentProcessID: Int32?
    package var slot: UInt32
    package var generation: UInt32
    package var imageNumber: UInt32
    package var isTarget = true
    package var command = ""
    package var controlGroup: String?
    package var state = Report.ProcessTotals.State.running
    package var isTracedFromStart = false
    package var ledger = MappingLedger()
    /// What those sites had allocated whose places were given back; all of it was freed. The count is in the unit of the
    /// kernel's counts.
    package var retired = Tally()
    package var unmatchedFrees: UInt64 = 0
    /// Sites of mappings that are stacks of threads.
    package var threadStackSites: Set<UInt32> = []
    package var threads: Threads?
    /// What it has taken that no traced call accounts for.
    package var unexplained: UnexplainedGrowth?
    /// The windows of its run; nil when it was too short for any.
    package var growthClock: GrowthClock?
    /// When the present program of the process began to be traced, and when it ended (CLOCK_MONOTONIC nanoseconds).
    package var beginTime: UInt64 = 0
    package var endTime: UInt64?
    /// Names of threads that have sites of their own.
    package var threadNames: [Int32: String] = [:]

    package init(processID: Int32, slot: UInt32, generation: UInt32 = 1, imageNumber: UInt32 = 1) {
      self.processID = processID
      self.slot = slot
      self.generation = generation
      self.imageNumber = imageNumber
    }
  }

  /// A process's threads and their stacks; see ``ThreadSummary``.
  package struct Threads {
    package var summary: ThreadSummary
    package var ended: [Ended] = []
    /// By start and creating stack, which is 0 where it was not seen.
    package struct Ended {
      package var start: UInt64
      package var stackHash: UInt64
      package var epoch: UInt32
      package var sums: ThreadSummary.EndedThreads
    }
    /// With which mappings the addresses of functions are to be read.
    package var epoch: UInt32
  }

  /// An outstanding heap block, in as few bytes as possible, because there may be millions.
  package struct Block {
    package var address: UInt64
    /// Packed as in `lt_block_payload`.
    private var sizeAndSite: UInt64
    private var timeAndLevel: UInt64

    package init(address: UInt64, sizeInBytes: UInt64, site: Int, time: UInt64, level: Int = 0) {
      self.address = address
      sizeAndSite = sizeInBytes << UInt64(LT_SITE_BITS) | UInt64(site)
      timeAndLevel = time & ~LT_LEVEL_MASK | UInt64(level) & LT_LEVEL_MASK
    }

    /// CLOCK_MONOTONIC nanoseconds.
    package var time: UInt64 { timeAndLevel & ~LT_LEVEL_MASK }
    /// See ``SamplingLevels``.
    var level: Int { Int(timeAndLevel & LT_LEVEL_MASK) }

    package var sizeInBytes: UInt64 { sizeAndSite >> UInt64(LT_SITE_BITS) }
    package var site: Int { Int(sizeAndSite & (UInt64(LT_MAX_SITES) - 1)) }
  }
}

/// What a leak check says of the blocks of one process.
package protocol BlockVerdicts {
  var processID: Int32 { get }
  var generation: UInt32 { get }
  var summary: LeakCheckSummary { get }
  /// The verdict of a heap block; `unchecked` when the check does not know it.
  func verdict(of block: LeakBlock) -> BlockVerdict
  /// The verdict of a range that the process has mapped itself.
  func verdict(ofMapping block: LeakBlock) -> BlockVerdict
  /// Who keeps the reachable blocks of sites, given by their places in the kernel's table; nil when it is not known.
  func holders(ofSites sites: [UInt32]) -> [Holder]?
}

extension BlockVerdicts {
  package func holders(ofSites sites: [UInt32]) -> [Holder]? { nil }
}

extension LeakCheckResult: BlockVerdicts {}
