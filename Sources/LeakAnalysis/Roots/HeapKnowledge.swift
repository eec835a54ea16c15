/// What the tracer knows of a process's memory beside its outstanding heap blocks.
package struct HeapKnowledge: Sendable {
  /// Whether every heap block in use is among the outstanding ones. Then what else an allocator's memory holds is left
  /// over from freed blocks, and no root.
  package var isComplete: Bool
  /// Why the heap is not known completely, in sentences for people; empty when it is.
  package var gaps: [String]
  /// Memory that allocators mapped for themselves while the process was traced.
  package var allocatorMemory: [Range<UInt64>]
  /// What the process has mapped itself while it was traced.
  package var mappings: [TracedMapping]
  /// Calls of realloc that threads are in the middle of.
  package var reallocations: [PendingReallocation]
  /// Where exit(3), quick_exit(3) and _exit(2) lie; empty when no thread is ending the process.
  package var exitCode: [Range<UInt64>]

  package init(
    isComplete: Bool, gaps: [String] = [], allocatorMemory: [Range<UInt64>] = [], mappings: [TracedMapping] = [],
    reallocations: [PendingReallocation] = [], exitCode: [Range<UInt64>] = []
  ) {
    self.isComplete = isComplete
    self.gaps = gaps
    self.allocatorMemory = allocatorMemory
    self.mappings = mappings
    self.reallocations = reallocations
    self.exitCode = exitCode
  }
}

/// A range of memory that a process has mapped itself: a block of its own, like one from malloc.
package struct TracedMapping: Hashable, Sendable {
  package var range: Range<UInt64>
  /// CLOCK_MONOTONIC nanoseconds.
  package var time: UInt64
  /// The tag by which the tracer finds the block's site.
  package var tag: UInt32
  package var origin: Origin
  /// Whether other parts of what was mapped by the same call have been unmapped or mapped over, or it was itself mapped over
  /// what the process had reserved. An address in one part may be computed from a pointer to another.
  package var isPart: Bool

  package enum Origin: Hashable, Sendable {
    case program
    /// Made by pthread_create. Where no thread runs on it, it is kept for the next one.
    case threadStack
  }

  package init(range: Range<UInt64>, time: UInt64, tag: UInt32, origin: Origin = .program, isPart: Bool = false) {
    self.range = range
    self.time = time
    self.tag = tag
    self.origin = origin
    self.isPart = isPart
  }
}

/// A call of realloc that has begun. Its old block is no longer outstanding and its new one not yet, but what they hold is
/// in use.
package struct PendingReallocation: Hashable, Sendable {
  package var threadID: Int32
  package var oldAddress: UInt64
  package var oldSizeInBytes: UInt64
  package var newSizeInBytes: UInt64
  /// Where the call's return address lies.
  package var returnSlot: UInt64

  package init(
    threadID: Int32, oldAddress: UInt64, oldSizeInBytes: UInt64, newSizeInBytes: UInt64, returnSlot: UInt64
  ) {
    self.threadID = threadID
    self.oldAddress = oldAddress
    self.oldSizeInBytes = oldSizeInBytes
    self.newSizeInBytes = newSizeInBytes
    self.returnSlot = returnSlot
  }
}
