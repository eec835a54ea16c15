import LeakAnalysis
import SystemSupport
import TraceModel

/// The part of a traced process that belongs to the program it runs, and begins anew when an exec replaces that program.
struct TracedImage {
  /// Raised by each exec.
  let generation: UInt32
  /// Different from the number of every other program image of the trace. Process ids and generations can come again.
  let number: UInt32
  /// When the trace of it began, CLOCK_MONOTONIC nanoseconds.
  let beginTime: UInt64
  /// Whether it is traced from its first allocation.
  var isTracedFromStart = false
  /// Whether every block in its heap was allocated while it was traced. Never true of a child, which has copies of its
  /// parent's blocks.
  var hasOnlyTracedBlocks = false
  /// Whether it was forked by a traced process, and still runs the program that its parent ran.
  var isForked = false
  /// Resident bytes of its heaps when its trace began; nil when nobody looked.
  var initialHeapBytes: UInt64?
  /// Whether it had no memory of its own when its trace began.
  var beginsEmpty = false
  /// What it had when its trace began; nil when nobody looked.
  var baseline: MemoryBaseline?
  /// What it has taken since that no traced call accounts for, as it was at the last look.
  var unexplained: UnexplainedGrowth?
  /// Whether it has Go's runtime; nil until somebody asks.
  var hasGoHeap: Bool?
  /// Objects that were searched for allocators, whether something in them was probed or not.
  var examinedObjects: Set<FileIdentity> = []
  /// Unwinders in these objects, whether they are probed or not.
  var exceptionHooks: [LibraryHook] = []
  var ledger = MappingLedger()
  /// Sites that map the stacks of new threads: reports tell of these apart.
  var threadStackSites: Set<UInt32> = []
  var threadBirths = ThreadBirths()
  /// Its threads, as they were when they were last looked at in passing.
  var threads: TraceSnapshot.Threads?
  /// Where glibc keeps its lists of threads; nil until somebody asks, and then nil inside where it does not tell.
  var threadLayout: ThreadLists.Layout??
  /// The last program break that it set.
  var programBreak: UInt64 = 0
  /// What those sites had allocated whose places were given back; all of it was freed. The count is in the unit of the
  /// kernel's counts.
  var retired = Tally()
  /// Names of threads that have sites of their own, as they were when the thread got its first one.
  var threadNames: [Int32: String] = [:]

  /// A program that is running already.
  init(generation: UInt32, number: UInt32, beginTime: UInt64) {
    self.generation = generation
    self.number = number
    self.beginTime = beginTime
  }

  /// A program that has just been executed, or is about to be: it holds no memory yet.
  ///
  /// - Parameter waitsForUs: whether none of its code runs before it is attached to.
  static func executed(generation: UInt32, number: UInt32, beginTime: UInt64, waitsForUs: Bool) -> TracedImage {
    var image = TracedImage(generation: generation, number: number, beginTime: beginTime)
    image.isTracedFromStart = true
    image.initialHeapBytes = 0
    image.beginsEmpty = true
    image.baseline = MemoryBaseline()
    image.hasOnlyTracedBlocks = waitsForUs
    return image
  }

  /// A child of a traced process, which runs the same program and has copies of its blocks.
  static func forked(from parent: TracedImage, generation: UInt32, number: UInt32, beginTime: UInt64) -> TracedImage {
    var image = TracedImage(generation: generation, number: number, beginTime: beginTime)
    image.isTracedFromStart = true
    image.isForked = true
    image.examinedObjects = parent.examinedObjects
    image.programBreak = parent.programBreak
    return image
  }

  /// Applies a change of the address space, which `site` made on behalf of `owner`.
  mutating func apply(_ change: AddressSpaceChange, site: UInt32?, owner: MappingOwner, time: UInt64) {
    let site = owner == .program ? site : nil
    switch change {
    case .map(let start, let size):
      ledger.map(start: start, size: size, site: site, time: time, forAllocator: owner == .allocator)
    case .unmap(let start, let size):
      ledger.unmap(start: start, size: size)
    case .remap(let oldStart, let oldSize, let newStart, let newSize):
      ledger.remap(
        oldStart: oldStart, oldSize: oldSize, newStart: newStart, newSize: newSize, site: site, time: time)
    case .programBreak(let address):
      let previous = programBreak
      programBreak = address
      if previous != 0 { ledger.moveBreak(from: previous, to: address, site: site, time: time) }
    }
  }
}
