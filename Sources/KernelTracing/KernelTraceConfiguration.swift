import CTraceABI

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
  /// Which sizes are recorded, in bytes asked for.
  package var sizes: ClosedRange<UInt64> = 0...(.max)
  /// Record only what these caches give. Any name of a merged cache stands for that cache. Empty: all.
  package var cacheNames: [String] = []
  /// Record only what these kernel functions ask for. Empty: all.
  package var callSites: [String] = []
  /// Record only what tasks of these processes ask for, ``maximumProcesses`` at most. Empty: all.
  package var processIDs: [Int32] = []
  package var commandName: String?
  /// Record only what tasks of this cgroup (v2) and those below it ask for: the path of its directory.
  package var cgroupDirectory: String?
  package var stacks = Stacks.suspects
  /// Record also the objects of caches that the kernel takes back when memory is short. If a cache is asked for by name, its
  /// objects are recorded in any case.
  package var recordsReclaimable = false
  /// Record one allocation in so many, chosen at random; nil: every one.
  package var sampleEveryNth: Int?
  /// Give every recorded allocation and free to ``KernelTracer/onEvent``.
  package var emitsEvents = false
  /// Which ways to see the kernel's events may be used. For tests, and for kernels on which one is known not to work.
  package var methods = Set(KernelHook.Method.allCases)
  /// How many blocks can be outstanding at once, at least.
  package var maximumAllocations = 400_000
  /// Keep no sample where more are outstanding: those that find no place are left out and counted.
  package var isExact = false
  /// How many call sites and stacks the tables are made for: with twice as many places for sites, as many for short stacks,
  /// and an eighth as many for long ones.
  package var maximumSites = 16_384

  /// How many processes can be asked for at once.
  package static let maximumProcesses = Int(LT_KERNEL_MAX_PROCESSES)

  package enum Stacks: String, CaseIterable, Sendable {
    case all, suspects, none
  }

  /// Whether every allocation of the sources is recorded, so that sums can be compared with the kernel's own.
  var recordsEverything: Bool {
    sizes == 0...(.max) && cacheNames.isEmpty && callSites.isEmpty && processIDs.isEmpty && commandName == nil
      && cgroupDirectory == nil && sampleEveryNth == nil
  }

  package init() {}
}
