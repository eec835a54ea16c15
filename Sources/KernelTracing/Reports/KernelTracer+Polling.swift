import KernelStatistics
import TraceModel

/// The last way to see the kernel's memory where no probe can be attached: what /proc says now, less what it said at the
/// beginning. This shows no call stacks, no processes, no frees, and nothing of what came and went in between.
extension KernelTracer {
  /// The classes of sites that are known from /proc alone.
  package var polledClasses: Set<AllocationClass> {
    Set(configuration.sources.filter { !isTraced($0) }.compactMap { AllocationClass(rawValue: $0.rawValue) })
  }

  func polledSites(_ after: KernelMemory) -> [AllocationSite] {
    configuration.sources.filter { !isTraced($0) }.sorted { $0.rawValue < $1.rawValue }.flatMap { source in
      switch source {
      case .vmalloc: Self.polledVmalloc(before: before, after: after)
      case .slab: Self.polledSlab(before: before, after: after, wanted: wantedCaches)
      case .percpu: Self.polled(.percpu, .percpu, "alloc_percpu", before: before, after: after)
      case .pages: Self.polled(.unaccounted, .pages, "alloc_pages", before: before, after: after)
      }
    }
  }

  /// A site for every caller that maps more than at the beginning.
  static func polledVmalloc(before: KernelMemory, after: KernelMemory) -> [AllocationSite] {
    struct Caller: Hashable {
      var function: String
      var offset: UInt64?
    }
    func tallies(_ memory: KernelMemory) -> [Caller: Tally] {
      memory.vmalloc.reduce(into: [:]) { tallies, range in
        guard range.memoryBytes > 0 else { return }
        tallies[Caller(function: range.function, offset: range.offset), default: Tally()] +=
          Tally(bytes: range.memoryBytes, count: 1)
      }
    }
    let old = tallies(before)
    return tallies(after).compactMap { caller, now -> AllocationSite? in
      guard let grown = difference(now, old[caller] ?? Tally()) else { return nil }
      let frame = Frame(
        address: 0, function: caller.function, functionOffset: caller.offset, module: "[kernel]")
      return site(.vmalloc, "vmalloc", grown, frames: [frame])
    }.sorted {
      ($0.outstanding.bytes, $0.frames[0].function ?? "") > ($1.outstanding.bytes, $1.frames[0].function ?? "")
    }
  }

  /// A site for every cache with more active objects than at the beginning.
  static func polledSlab(before: KernelMemory, after: KernelMemory, wanted: Set<String>) -> [AllocationSite] {
    after.slab.caches.compactMap { cache -> AllocationSite? in
      guard wanted.isEmpty || after.slab.aliases(of: cache.name).contains(where: wanted.contains) else { return nil }
      let old = before.slab.cache(named: cache.name)
      let grown = difference(
        Tally(bytes: cache.activeBytes, count: cache.activeObjects),
        Tally(bytes: old?.activeBytes ?? 0, count: old?.activeObjects ?? 0))
      guard let grown else { return nil }
      var site = site(.slab, "slab", grown, frames: [])
      site.kernel?.cache = cache.name
      site.kernel?.aliases = after.slab.aliases(of: cache.name).filter { $0 != cache.name }
      site.kernel?.isReclaimable = after.slab.isReclaimable(cache.name)
      return site
    }.sorted { ($0.outstanding.bytes, $0.kernel?.cache ?? "") > ($1.outstanding.bytes, $1.kernel?.cache ?? "") }
  }

  private static func polled(
    _ kind: KernelMemory.Kind, _ allocationClass: AllocationClass, _ allocator: String, before: KernelMemory,
    after: KernelMemory
  ) -> [AllocationSite] {
    func bytes(_ memory: KernelMemory) -> UInt64 { memory.shares()?.first { $0.kind == kind }?.bytes ?? 0 }
    let grown = difference(Tally(bytes: bytes(after), count: 1), Tally(bytes: bytes(before), count: 0))
    return grown.map { [site(allocationClass, allocator, $0, frames: [])] } ?? []
  }

  private static func difference(_ now: Tally, _ old: Tally) -> Tally? {
    guard now.bytes > old.bytes, now.count > old.count else { return nil }
    return Tally(bytes: now.bytes - old.bytes, count: now.count - old.count)
  }

  private static func site(
    _ allocationClass: AllocationClass, _ allocator: String, _ grown: Tally, frames: [Frame]
  ) -> AllocationSite {
    var site = AllocationSite(
      processID: 0, allocationClass: allocationClass, allocator: allocator, outstanding: grown, allocated: grown,
      freed: Tally(), stack: StackTrace(addresses: frames.map(\.address), completeness: .callerOnly), frames: frames,
      verdicts: [.unchecked: grown])
    site.kernel = KernelSiteDetails(doubt: "by /proc alone: what was there at the beginning is left out")
    return site
  }
}
