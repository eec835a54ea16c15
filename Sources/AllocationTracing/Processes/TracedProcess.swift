import BPFRuntime
import GrowthStatistics
import LeakAnalysis
import ProcessImage
import SystemSupport
import TraceModel

/// What the addresses of a stack mean: the code of a process at the time when the stack was recorded.
package struct RecordedCode: Equatable, Sendable {
  package var processID: Int32
  /// See `TracedProcess.imageNumber`.
  package var imageNumber: UInt32
  /// See ``MappingEpochs``.
  package var epoch: UInt32
}

/// One process of a trace, from attach to its end.
package final class TracedProcess {
  package let processID: Int32
  /// A thread by which its memory and files can be read.
  package internal(set) var threadID: Int32
  let slot: UInt32
  package let parentProcessID: Int32?
  /// Named by the user, as opposed to followed.
  package let isTarget: Bool
  package internal(set) var command: String
  package internal(set) var executable: String?
  /// Raised by each exec.
  package internal(set) var generation: UInt32
  /// Unlike any other program image of the trace: process ids come again, and so do generations.
  package internal(set) var imageNumber: UInt32 = 0
  package internal(set) var state = Report.ProcessTotals.State.running
  /// CLOCK_MONOTONIC nanoseconds of the moment from which its present program is traced, and of its end.
  package internal(set) var beginTime = monotonicNanoseconds()
  package internal(set) var endTime: UInt64?
  /// Whether its present program, or it itself as a child, is traced from its first allocation.
  package internal(set) var isTracedFromStart = false
  /// Names of threads that have sites of their own, as they were at the first of these.
  var threadNames: [Int32: String] = [:]
  /// Its control group when its trace began: its path in the unified hierarchy, or the one of its memory controller.
  package internal(set) var controlGroup: String?
  /// The windows of its run as of the last report; nil when it was too short for any.
  var growthClock: GrowthClock?

  /// Places probed in this process, by probe index; kept for children, which have the same code.
  var probes: [UInt32] = []
  var links: [Link] = []
  /// Whether every block in its heap was allocated while it was traced: no child, which has its parent's blocks.
  package internal(set) var hasOnlyTracedBlocks = false
  /// Whether it was forked by a traced process, and still runs what that ran.
  package internal(set) var isForked = false
  /// Resident bytes of its heaps when its trace began; nil when nobody looked.
  var initialHeapBytes: UInt64?
  /// Whether a function that allocates or frees is probed.
  var hasAllocator = false
  /// Why nothing can be traced in it and what to do.
  var failure: String?
  /// Objects that were looked at for allocators, probed or not.
  var examinedObjects: Set<FileIdentity> = []
  package var mappings: [Mapping] = []
  /// What is executable among them, and when.
  package internal(set) var mappingState = MappingState()

  package struct MappingState: Equatable {
    package var snapshot = AddressSpaceSnapshot()
    var imageNumber: UInt32 = 0
    /// See ``MappingEpochs``.
    package var epoch: UInt32 = 0
  }
  var ledger = MappingLedger()
  /// The last program break that the process set.
  var programBreak: UInt64 = 0
  /// What sites that were given back had allocated, and freed again. In the units of the kernel's counts.
  var retiredBytes: UInt64 = 0
  var retiredCount: UInt64 = 0
  /// Addresses of the probed allocator functions: what they map is not the program's own.
  var allocatorCode: [Range<UInt64>] = []
  /// Addresses of the dynamic loader, of which the same is true.
  var loaderCode: [Range<UInt64>] = []
  /// Code of libraries that are there to allocate, such as jemalloc's: what they map at their start is theirs, too.
  var allocatorLibraries: [Range<UInt64>] = []
  /// Addresses of `pthread_create`; nil when nobody asked since the mappings changed. And which sites lie in it.
  var threadCode: [Range<UInt64>]?
  var threadStackSites: [UInt32: Bool] = [:]
  /// Whose the mappings of a site are, by the kernel's site index.
  var ownershipOfSite: [UInt32: MappingOwner] = [:]

  init(
    processID: Int32, slot: UInt32, generation: UInt32, parentProcessID: Int32?, isTarget: Bool,
    command: String, executable: String?
  ) {
    self.processID = processID
    threadID = processID
    self.slot = slot
    self.generation = generation
    self.parentProcessID = parentProcessID
    self.isTarget = isTarget
    self.command = command
    self.executable = executable
  }
}

/// On whose behalf memory was mapped.
enum MappingOwner {
  case program, allocator, loader
}
