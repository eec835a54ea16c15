import SystemSupport
import TraceModel

/// What of a traced process belongs to the program that it runs, and begins anew when exec replaces that.
struct TracedImage {
  /// Raised by each exec.
  let generation: UInt32
  /// Unlike any other program image of the trace: process ids come again, and so do generations.
  let number: UInt32
  /// CLOCK_MONOTONIC nanoseconds of the moment from which it is traced.
  let beginTime: UInt64
  /// Whether it is traced from its first allocation.
  var isTracedFromStart = false
  /// Whether every block in its heap was allocated while it was traced: no child, which has its parent's blocks.
  var hasOnlyTracedBlocks = false
  /// Whether it was forked by a traced process, and still runs what that ran.
  var isForked = false
  /// Resident bytes of its heaps when its trace began; nil when nobody looked.
  var initialHeapBytes: UInt64?
  /// Objects that were looked at for allocators, probed or not.
  var examinedObjects: Set<FileIdentity> = []
  var ledger = MappingLedger()
  /// The last program break that it set.
  var programBreak: UInt64 = 0
  /// What sites that were given back had allocated, and freed again. In the units of the kernel's counts.
  var retired = Tally()
  /// Names of threads that have sites of their own, as they were at the first of these.
  var threadNames: [Int32: String] = [:]

  /// A program that runs already.
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

  /// Applies a change of the address space. `owner`: on whose behalf it was made, by what site.
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
