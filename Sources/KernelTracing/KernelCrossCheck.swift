import CTraceABI
import KernelStatistics
import Quantities
import TraceModel

/// Compares what was traced with what the kernel says of itself: `/proc/slabinfo`, `/proc/vmallocinfo` and `/proc/meminfo`.
struct KernelCrossCheck {
  let before: KernelMemory
  let after: KernelMemory
  /// Whether everything that the sources allocated since the beginning was recorded: no filter, no sampling.
  let isWhole: Bool
  let sources: Set<KernelSource>
  /// What is outstanding by the trace, by the name that slabinfo has for the cache, so that merged caches are one.
  private var traced: [String: Tally] = [:]
  /// The blocks of each such cache whose addresses were handed out again without a free being seen.
  private var reused: [String: UInt64] = [:]
  private var tracedShares: [KernelMemory.Kind: Tally] = [:]

  init(before: KernelMemory, after: KernelMemory, sources: Set<KernelSource>, isWhole: Bool) {
    self.before = before
    self.after = after
    self.sources = sources
    self.isWhole = isWhole
  }

  mutating func add(_ drafts: [KernelSiteDraft]) {
    for draft in drafts {
      if let name = draft.cacheName {
        let cache = after.slab.cache(named: name)?.name ?? name
        traced[cache, default: Tally()] += draft.sums.outstanding
        reused[cache, default: 0] &+= draft.site.reused_count
      }
      let kind: KernelMemory.Kind? =
        switch draft.allocationClass {
        // Blocks that are too large for a cache have pages of their own, which no account names.
        case .slab:
          draft.cacheName == nil ? nil : draft.isReclaimable ? .reclaimableSlab : .unreclaimableSlab
        case .vmalloc: .vmalloc
        case .percpu: .percpu
        default: nil
        }
      if let kind { tracedShares[kind, default: Tally()] += draft.sums.outstanding }
    }
  }

  // MARK: Where memory is

  func shares() -> [KernelMemorySummary.Share] {
    let old = Dictionary(
      (before.shares() ?? []).map { ($0.kind, $0.bytes) }, uniquingKeysWith: { first, _ in first })
    return (after.shares() ?? []).map { share in
      KernelMemorySummary.Share(
        name: share.kind.rawValue, bytes: share.bytes,
        change: old[share.kind].map { Int64(clamping: share.bytes) - Int64(clamping: $0) },
        traced: source(of: share.kind).map { sources.contains($0) } == true
          ? tracedShares[share.kind]?.bytes ?? 0 : nil,
        isKernel: share.kind.isKernel)
    }
  }

  private func source(of kind: KernelMemory.Kind) -> KernelSource? {
    switch kind {
    case .reclaimableSlab, .unreclaimableSlab: .slab
    case .vmalloc: .vmalloc
    case .percpu: .percpu
    default: nil
    }
  }

  /// The caches that changed most or hold most of what was traced, at most ten.
  func changes() -> [KernelMemorySummary.CacheChange] {
    let changes = after.slab.caches.map { cache in
      KernelMemorySummary.CacheChange(
        name: cache.name, bytes: cache.sizeInBytes, activeChange: activeChange(of: cache),
        traced: traced[cache.name] ?? Tally())
    }
    let sizes = Dictionary(
      after.slab.caches.map { ($0.name, $0.objectSizeInBytes) }, uniquingKeysWith: { first, _ in first })
    func weight(_ change: KernelMemorySummary.CacheChange) -> UInt64 {
      let (bytes, overflow) = change.activeChange.magnitude.multipliedReportingOverflow(by: sizes[change.name] ?? 0)
      return max(overflow ? .max : bytes, change.traced.bytes)
    }
    return Array(
      changes.filter { weight($0) > 0 }.sorted { (weight($0), $1.name) > (weight($1), $0.name) }.prefix(10))
  }

  private func activeChange(of cache: SlabCache) -> Int64 {
    let old = before.slab.cache(named: cache.name)?.activeObjects ?? 0
    return Int64(clamping: cache.activeObjects) - Int64(clamping: old)
  }

  // MARK: What speaks against a leak

  /// What speaks against a leak at a site although it has outstanding blocks; nil when nothing does.
  func doubt(about draft: KernelSiteDraft) -> String? {
    let reused = draft.site.reused_count
    let cache = draft.cacheName.flatMap { after.slab.cache(named: $0) }
    let tally = cache.flatMap { traced[$0.name] } ?? Tally()
    let change = cache.map { max(0, activeChange(of: $0)) }
    if let cache, let change, isReal(draft, in: cache, change: change, tally: tally) { return nil }
    // At every site a few frees are lost to interrupts. Where a good part of the frees is lost, blocks are freed in a way
    // that no hook sees. Then what looks outstanding was freed like that, too, unless the kernel itself counts as many
    // objects more.
    let freed = draft.sums.freed.count
    let isUnseen = reused * 2 >= freed || (reused * 20 >= freed && reused * 4 >= draft.sums.outstanding.count)
    if reused > 0, isUnseen, change.map({ $0 < Int64(clamping: tally.count - tally.count / 4) }) ?? true {
      return
        "\(groupedNumber(reused)) of the \(groupedNumber(draft.sums.freed.count)) freed blocks were seen to be so only when their addresses were used "
        + "again (freed in bulk or by RCU): others may be freed, too"
    }
    guard let cache, let change else { return nil }
    let slack = slack(of: cache)
    if Int64(clamping: tally.count) > change + max(slack, Int64(clamping: tally.count / 2)) {
      return "slabinfo has only \(groupedNumber(change)) more active objects in \(cache.name) since the start, of "
        + "\(groupedNumber(tally.count)) that look outstanding: the others were freed unseen (in bulk or by RCU)"
    }
    return nil
  }

  /// Whether the blocks of a site are surely in use although others of its cache were freed unseen.
  ///
  /// The kernel counts `change` objects more, the trace `tally`: the excess was freed unseen. It can be this site's only as far
  /// as the addresses tell that were handed out again: the blocks that are freed unseen come back so.
  private func isReal(_ draft: KernelSiteDraft, in cache: SlabCache, change: Int64, tally: Tally) -> Bool {
    let own = Double(draft.sums.outstanding.count)
    guard own >= Self.fewestReal else { return false }
    let slack = Double(slack(of: cache))
    let excess = max(0, Double(tally.count) - Double(change))
    // However the excess is shared out, most of this site's blocks are not in it.
    if own > 2 * (excess + slack) { return true }
    let reusedInCache = Double(reused[cache.name] ?? 0)
    let reusedOwn = Double(draft.site.reused_count)
    guard reusedInCache - reusedOwn >= Self.fewestReused, reusedOwn * 20 < own else { return false }
    // The most that it can be with 95 % confidence where `reusedOwn` of the addresses that came back were this site's.
    let share = min(1, (reusedOwn + 2 * reusedOwn.squareRoot() + 3) / reusedInCache)
    return Double(change) + own / 10 >= own && share * excess < own / 4
  }

  /// Below so many blocks the kernel's count, which has whole slabs, tells nothing of a site.
  private static var fewestReal: Double { 64 }
  /// So many addresses must have come back to tell whose blocks are freed unseen.
  private static var fewestReused: Double { 50 }

  /// The kernel's count is inexact by what the CPUs keep at hand: several slabs each.
  private func slack(of cache: SlabCache) -> Int64 {
    Int64(clamping: max(64, cache.objects / max(1, cache.slabs) * 32))
  }

  // MARK: What the trace cannot account for

  /// Growth below this many bytes is normal for the allocators, which keep slabs and pages at hand.
  static let significantBytes: UInt64 = 4 << 20

  /// Sentences on memory that grew and is in no account of the kernel, or is in the kernel's account and not in the trace's.
  func findings(tracedPages: Tally) -> [String] {
    var findings: [String] = []
    let shares = shares()
    func change(_ kind: KernelMemory.Kind) -> Int64 { shares.first { $0.name == kind.rawValue }?.change ?? 0 }
    let unaccounted = change(.unaccounted)
    if unaccounted >= Int64(Self.significantBytes) {
      var text =
        "\(ByteSize.text(unaccounted.magnitude)) more than at the start are in no account of the kernel: pages that a "
      text += "driver or another part of the kernel took for itself"
      text +=
        sources.contains(.pages)
        ? "; of the pages traced, \(ByteSize.text(tracedPages.bytes)) are outstanding"
        : " (--pages traces them)"
      findings.append(text)
    }
    guard isWhole else { return findings }
    for kind in [KernelMemory.Kind.unreclaimableSlab, .vmalloc, .percpu] {
      guard let source = source(of: kind), sources.contains(source) else { continue }
      let grown = change(kind)
      let traced = Int64(clamping: tracedShares[kind]?.bytes ?? 0)
      if grown - traced >= max(Int64(Self.significantBytes), grown / 4) {
        findings.append(
          "\(kind.rawValue) grew by \(ByteSize.text(grown.magnitude)), of which the trace accounts for "
            + "\(ByteSize.text(traced.magnitude)): the rest was allocated in ways that this kernel shows no probe, or is kept at hand by the allocator"
        )
      }
    }
    return findings
  }
}
