import CTraceABI
import TraceModel

/// What was traced beside what the kernel says of itself.
struct KernelCrossCheck {
  let before: KernelMemory
  let after: KernelMemory
  let caches: KernelCacheNames
  /// Outstanding by the trace, by the name of the cache.
  private var traced: [String: Tally] = [:]

  init(before: KernelMemory, after: KernelMemory, caches: KernelCacheNames) {
    self.before = before
    self.after = after
    self.caches = caches
  }

  mutating func add(_ drafts: [KernelSiteDraft]) {
    for draft in drafts {
      // Under the name that slabinfo knows the cache by, so that merged ones are one.
      guard let name = caches.name(of: draft.site) else { continue }
      traced[after.slab.cache(named: name)?.name ?? name, default: Tally()] += draft.outstanding
    }
  }

  func shares() -> [KernelMemorySummary.Share] {
    guard let shares = after.shares() else { return [] }
    let old = Dictionary((before.shares() ?? []).map { ($0.name, $0.bytes) }, uniquingKeysWith: { first, _ in first })
    return shares.map {
      KernelMemorySummary.Share(
        name: $0.name, bytes: $0.bytes, change: old[$0.name].map { [bytes = $0.bytes] in Int64(bytes) - Int64($0) },
        isKernel: $0.isKernel)
    }
  }

  /// The caches that changed most or hold most of what was traced, at most ten.
  func changes() -> [KernelMemorySummary.CacheChange] {
    let changes = after.slab.caches.map { cache in
      KernelMemorySummary.CacheChange(
        name: cache.name, bytes: cache.sizeInBytes, activeChange: activeChange(of: cache),
        traced: traced[cache.name] ?? Tally())
    }
    func weight(_ change: KernelMemorySummary.CacheChange) -> UInt64 {
      let size = after.slab.cache(named: change.name)?.objectSizeInBytes ?? 0
      return max(change.activeChange.magnitude.multipliedReportingOverflow(by: size).partialValue, change.traced.bytes)
    }
    return Array(changes.filter { weight($0) > 0 }.sorted { (weight($0), $1.name) > (weight($1), $0.name) }.prefix(10))
  }

  private func activeChange(of cache: SlabCache) -> Int64 {
    let old = before.slab.cache(named: cache.name)?.activeObjects ?? 0
    return Int64(clamping: cache.activeObjects) - Int64(clamping: old)
  }

  /// What speaks against a leak at a site although it has outstanding blocks.
  func doubt(about draft: KernelSiteDraft) -> String? {
    let reused = draft.site.reused_count
    if reused > 0, reused * 4 >= draft.outstanding.count {
      return "\(reused) of its blocks turned out to be freed unseen (in bulk or by RCU): more may be"
    }
    guard let name = caches.name(of: draft.site), let cache = after.slab.cache(named: name) else { return nil }
    let tally = traced[cache.name] ?? Tally()
    // The kernel's count is off by what the CPUs keep at hand: several slabs each.
    let change = activeChange(of: cache)
    let slack = Int64(clamping: max(64, cache.objects / max(1, cache.slabs) * 32))
    if Int64(clamping: tally.count) > max(0, change) + max(slack, Int64(clamping: tally.count / 2)) {
      return "slabinfo has only \(max(0, change)) more active objects in \(cache.name) since the start, of "
        + "\(tally.count) that look outstanding: the others were freed unseen (in bulk or by RCU)"
    }
    return nil
  }
}
