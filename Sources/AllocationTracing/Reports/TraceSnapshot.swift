import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import TraceModel

/// All that reports of one moment are made of. Values only: what happens afterwards changes nothing in it, and any number of
/// reports of it agree with each other.
package struct TraceSnapshot {
  package var configuration: TraceConfiguration
  /// CLOCK_MONOTONIC nanoseconds of the moment itself and of the first attach; the latter is 0 before it.
  package var time: UInt64
  package var startTime: UInt64
  package var startInUnixSeconds = 0.0
  /// In order of appearance.
  package var processes: [Process] = []
  /// Totals of images that exec replaced.
  package var replacedImages: [Report.ProcessTotals] = []
  /// Every site of the kernel's table, and how many places that has.
  package var sites: [SiteRecord<lt_site>] = []
  package var siteCapacity = 0
  /// Every outstanding heap block; nil when nobody looked.
  package var blocks: [Block]?
  /// The stacks of sites that hold memory, by hash.
  package var stacks: [UInt64: StackTrace] = [:]
  /// What leak checks found, the latest of each process last.
  package var checks: [any BlockVerdicts] = []
  package var history: OutstandingHistory?
  package var timeline: [Report.Moment] = []
  package var retention: [RetentionSummary] = []
  package var probes: [Report.Probe] = []
  /// Functions in use whose exceptions cannot pass their return probe.
  package var functionsThatMayNotThrow: [String] = []
  /// Every cause of loss but broken stacks.
  package var losses: [Report.LossCounter] = []
  package var walks = WalkSummary()
  package var notes: [String] = []
  /// Outstanding bytes of each site at the report before, for sorting by growth.
  var previousOutstanding: [SiteKey: UInt64] = [:]

  package init(configuration: TraceConfiguration, time: UInt64, startTime: UInt64) {
    self.configuration = configuration
    self.time = time
    self.startTime = startTime
  }

  /// A process of the trace as it was then.
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
    /// What sites that were given back had allocated, and freed again. In the units of the kernel's counts.
    package var retired = Tally()
    package var unmatchedFrees: UInt64 = 0
    /// The windows of its run; nil when it was too short for any.
    package var growthClock: GrowthClock?
    /// Names of threads that have sites of their own.
    package var threadNames: [Int32: String] = [:]

    package init(processID: Int32, slot: UInt32, generation: UInt32 = 1, imageNumber: UInt32 = 1) {
      self.processID = processID
      self.slot = slot
      self.generation = generation
      self.imageNumber = imageNumber
    }
  }

  /// An outstanding heap block, as small as it can be: there may be millions.
  package struct Block {
    package var address: UInt64
    /// As in `lt_block_payload`.
    private var sizeAndSite: UInt64
    /// CLOCK_MONOTONIC nanoseconds.
    package var time: UInt64

    package init(address: UInt64, sizeInBytes: UInt64, site: Int, time: UInt64) {
      self.address = address
      sizeAndSite = sizeInBytes << UInt64(LT_SITE_BITS) | UInt64(site)
      self.time = time
    }

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
}

extension LeakCheckResult: BlockVerdicts {}
