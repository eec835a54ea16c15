/// What kind of memory a site holds.
package enum AllocationClass: String, Hashable, Codable, Sendable, CaseIterable {
  /// Blocks from an allocator (`malloc` and its relatives, or a custom pool).
  case heap
  /// Ranges the program itself asked the kernel for (`mmap`, `mremap`, `brk`), not those an allocator took for its arenas.
  case mapping
  /// Kernel: kmalloc and slab caches.
  case slab
  /// Kernel: ranges that are contiguous by address only.
  case vmalloc
  /// Kernel: one copy for each CPU.
  case percpu
  /// Kernel: whole pages from the page allocator.
  case pages
}

/// One outstanding allocation: a block not yet freed.
package struct OutstandingAllocation: Hashable, Codable, Sendable {
  package var address: UInt64
  /// The size the program asked for.
  package var sizeInBytes: UInt64
  /// Time since it was allocated, at the moment of the snapshot.
  package var age: Duration
  /// How sure it is that the block is leaked; nil when no leak check ran.
  package var verdict: BlockVerdict?
  /// The first bytes of the block, when they were asked for.
  package var firstBytes: [UInt8]

  package init(
    address: UInt64, sizeInBytes: UInt64, age: Duration, verdict: BlockVerdict? = nil,
    firstBytes: [UInt8] = []
  ) {
    self.address = address
    self.sizeInBytes = sizeInBytes
    self.age = age
    self.verdict = verdict
    self.firstBytes = firstBytes
  }
}

/// Bytes and blocks, always counted together.
package struct Tally: Hashable, Codable, Sendable {
  package var bytes: UInt64
  package var count: UInt64
  package init(bytes: UInt64 = 0, count: UInt64 = 0) {
    self.bytes = bytes
    self.count = count
  }
  package static func += (left: inout Tally, right: Tally) {
    left.bytes &+= right.bytes
    left.count &+= right.count
  }
  /// Stops at 0.
  package static func -= (left: inout Tally, right: Tally) {
    left.bytes -= min(left.bytes, right.bytes)
    left.count -= min(left.count, right.count)
  }
}

/// The call stack as addresses, before it is named.
package struct StackTrace: Hashable, Codable, Sendable {
  /// Leaf first.
  package var addresses: [UInt64]
  package var completeness: Completeness

  /// How the walk ended.
  package enum Completeness: String, Hashable, Codable, Sendable {
    /// The outermost frame was reached.
    case complete
    /// Cut at the depth limit.
    case truncated
    /// The walk could not go on (no unwind row, unreadable stack).
    case broken
    /// Walked by frame pointers only: callers that keep none are missing.
    case framePointersOnly = "frame_pointers_only"
    /// Only the caller of the allocator was recorded.
    case callerOnly = "caller_only"
  }

  package init(addresses: [UInt64], completeness: Completeness) {
    self.addresses = addresses
    self.completeness = completeness
  }
}

/// Outstanding and total allocations of one call stack in one process.
package struct AllocationSite: Codable, Sendable {
  package var processID: Int32
  /// The thread that allocated; nil unless threads were told apart.
  package var threadID: Int32?
  package var threadName: String?
  package var allocationClass: AllocationClass
  /// The function that handed out the memory, for example `malloc`.
  package var allocator: String
  package var outstanding: Tally
  package var allocated: Tally
  package var freed: Tally
  /// One standard error of `outstanding.bytes` when sampled; nil when every block was traced.
  package var outstandingBytesStandardError: Double?
  package var oldestAge: Duration?
  package var stack: StackTrace
  /// Named frames of `stack`, leaf first; empty until symbolized.
  package var frames: [Frame]
  package var verdicts: [VerdictKind: Tally]
  /// What is lost with this site's definitely and possibly lost blocks: blocks that only they refer to.
  package var keeps = Tally()
  /// Reachable blocks that only an interpreter's own heap refers to, by that heap.
  package var holders: [String: Tally] = [:]
  /// Who keeps the site's reachable and possibly lost blocks, most bytes first; nil when no leak check has added up the paths to them.
  package var heldBy: [Holder]?
  /// Where the site's blocks are freed as a rule, most frees first; nil when no frees were looked at.
  package var freedAt: [FreePlace]?
  /// nil when the run was too short to say anything.
  package var growth: GrowthEvidence?
  /// Of the sites that matter most: what they held over time (``SiteCourse/maximumSites``).
  package var course: SiteCourse?
  /// The same of all sites of its process that have the same first own frame, taken together; nil where it is the only one,
  /// or nothing is known. Many stacks with a few blocks each grow only together.
  package var ownGrowth: GrowthEvidence?
  /// What it held at most, where its process grew until its end and then freed it there: `outstanding` is 0 or little then, and
  /// `growth` is that of the time before.
  package var heldBeforeEnd: Tally?
  /// Which process holds how much, where the site sums up several; nil where all of it is `processID`'s.
  package var shares: [SiteShare]?
  /// Only for memory of the kernel.
  package var kernel: KernelSiteDetails?
  /// Filled only when single blocks were asked for (`-a`).
  package var allocations: [OutstandingAllocation]

  package init(
    processID: Int32, allocationClass: AllocationClass, allocator: String, outstanding: Tally,
    allocated: Tally, freed: Tally, outstandingBytesStandardError: Double? = nil,
    oldestAge: Duration? = nil, stack: StackTrace, frames: [Frame] = [],
    verdicts: [VerdictKind: Tally] = [:], allocations: [OutstandingAllocation] = []
  ) {
    self.processID = processID
    self.allocationClass = allocationClass
    self.allocator = allocator
    self.outstanding = outstanding
    self.allocated = allocated
    self.freed = freed
    self.outstandingBytesStandardError = outstandingBytesStandardError
    self.oldestAge = oldestAge
    self.stack = stack
    self.frames = frames
    self.verdicts = verdicts
    self.allocations = allocations
  }
}
