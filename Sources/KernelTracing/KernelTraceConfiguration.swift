/// Which kernel allocators are traced.
package enum KernelSource: String, CaseIterable, Hashable, Sendable {
  /// kmalloc and slab caches.
  case slab
  case vmalloc
  case percpu
  /// Pages taken from the page allocator.
  case pages
}

/// What is decided before the programs are loaded.
package struct KernelTraceConfiguration: Sendable {
  package var sources: Set<KernelSource> = [.slab, .vmalloc, .percpu]
  /// Bytes asked for; others are not recorded.
  package var sizes: ClosedRange<UInt64> = 0...(.max)
  /// Record only what these caches give; any of the names of a merged cache stands for it. Empty: all.
  package var cacheNames: [String] = []
  /// Record only what these kernel functions ask for. Empty: all.
  package var callSites: [String] = []
  /// Record only what tasks of this process ask for; 0: all.
  package var processID: Int32 = 0
  package var commandName: String?
  /// Record only what tasks of this cgroup (v2) and those below it ask for.
  package var cgroup: Cgroup?
  package var stacks = Stacks.suspects
  /// Blocks that can be outstanding at once.
  package var maximumAllocations = 400_000
  /// Call sites and stacks.
  package var maximumSites = 16_384

  package struct Cgroup: Hashable, Sendable {
    package var identifier: UInt64
    /// Steps below the root of the hierarchy.
    package var level: UInt32
    package init(identifier: UInt64, level: UInt32) {
      self.identifier = identifier
      self.level = level
    }
  }

  package enum Stacks: String, CaseIterable, Sendable {
    case all, suspects, none
  }

  package init() {}
}
