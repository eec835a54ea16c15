import Accounting
import BPFRuntime
import CTraceABI
import Glibc
import GrowthStatistics
import KernelStatistics
import Symbolization
import SystemSupport
import TraceModel

/// One trace of kernel allocations: owns the programs and what they recorded. Releasing it takes every probe off.
///
/// Not safe for use from several threads.
package final class KernelTracer {
  package let configuration: KernelTraceConfiguration
  let programs: KernelPrograms
  let symbols = KernelSymbols()
  /// What slabinfo and its like said when the trace began.
  package let before: KernelMemory
  let startTime: UInt64
  let startInUnixSeconds: Double
  /// Names of the caches that are asked for, aliases included; empty: all.
  let wantedCaches: Set<String>
  /// What every site held at each tick.
  var history: OutstandingHistory
  private(set) var reclamation = KernelSiteReclamation()
  /// nil where no sample is to be made.
  private(set) var thinning: KernelThinning?
  /// Why the table could not be thinned.
  private(set) var thinningFailure: String?
  private var choice = SuspectChoice<KernelSiteDraft.Group>()
  private(set) var suspects: Set<KernelSiteDraft.Group> = []
  /// The answer of ``isNoise(_:)`` for every caller that it was asked about.
  private var noiseByGroup: [KernelSiteDraft.Group: Bool] = [:]
  private var lastLook: UInt64 = 0
  private var lastRoom: UInt64 = 0
  /// Called for every recorded allocation and free, when the configuration asks for events.
  package var onEvent: ((KernelEvent) -> Void)?

  /// Throws a ``Refusal`` when the kernel lacks something that was asked for, else ``BPFError``.
  package init(configuration: KernelTraceConfiguration) throws {
    self.configuration = configuration
    guard access("/sys/kernel/btf/vmlinux", R_OK) == 0 else {
      throw Refusal(
        "this kernel has no type information (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF), which tracing it needs; "
          + "`leaktrace kernel --where` does without")
    }
    try KernelVersion.require(KernelVersion.running)
    let slab = SlabCaches.current()
    wantedCaches = try Self.resolve(configuration.cacheNames, slab)
    var surroundings = KernelPrograms.Surroundings()
    surroundings.cacheNames = wantedCaches
    for name in configuration.callSites {
      guard let range = symbols.range(of: name) else {
        throw Refusal("--call-site \(name): this kernel has no function of that name")
      }
      surroundings.callSites.append(range)
    }
    surroundings.interrupts = symbols.interruptEntries
    surroundings.vmemmapPointer = symbols.dataAddress(of: "vmemmap_base") ?? 0
    surroundings.pageOffsetPointer = symbols.dataAddress(of: "page_offset_base") ?? 0
    programs = try KernelPrograms(configuration, surroundings)
    before = KernelMemory.current()
    try programs.attach()
    startTime = monotonicNanoseconds()
    thinning = configuration.isExact ? nil : KernelThinning(capacity: configuration.maximumAllocations)
    history = OutstandingHistory(start: startTime, siteCount: programs.tables.sites.count)
    startInUnixSeconds = unixSeconds()
    // Stacks leave out the frames of our own programs by their names, which are known only now.
    symbols.reload()
  }

  private static func resolve(_ names: [String], _ slab: SlabCaches) throws -> Set<String> {
    var result: Set<String> = []
    for name in names {
      guard slab.isKnown(name) else {
        throw Refusal("--cache \(name): this kernel has no slab cache of that name; see /proc/slabinfo")
      }
      result.formUnion(slab.aliases(of: name))
    }
    return result
  }

  package func stop() { programs.detach() }

  /// Whether the kernel events of a source are seen. If not, its memory is known from /proc alone.
  func isTraced(_ source: KernelSource) -> Bool {
    configuration.sources.contains(source)
      && !programs.missing.contains { $0.hook.source == source && $0.hook.importance == .needed }
  }

  // MARK: From time to time

  /// When ``tick()`` has something to do next (CLOCK_MONOTONIC nanoseconds).
  package var nextTick: UInt64 {
    min(history.nextTick, lastLook &+ Self.lookInterval, thinning == nil ? .max : lastRoom &+ KernelThinning.interval)
  }

  private static let lookInterval: UInt64 = 1_000_000_000

  /// Notes what sites hold at a moment of their course.
  func note(_ records: [SiteRecord<lt_kernel_site>], at now: UInt64) {
    history.beginTick(at: now)
    for record in records {
      history.record(
        site: record.index, identity: record.identity, outstandingBytes: record.outstandingBytes,
        allocatedCount: record.site.allocated_count)
    }
    history.endTick()
  }

  /// Notes what sites hold, asks for call stacks of those that look like leaks, and gives unused places back.
  package func tick() {
    let now = monotonicNanoseconds()
    guard now >= nextTick else { return }
    makeRoom(at: now)
    guard now >= min(history.nextTick, lastLook &+ Self.lookInterval) else { return }
    let records = programs.tables.sites.records().filter { !$0.isIgnored }
    if now >= history.nextTick { note(records, at: now) }
    guard now >= lastLook &+ Self.lookInterval else { return }
    lastLook = now
    if configuration.stacks == .suspects { chooseSuspects(records) }
    leaveOutNoise(records)
    reclamation.run(tables: programs.tables, capacity: configuration.maximumSites * 2, now: now)
  }

  /// Makes a sample of the blocks before their table is full.
  private func makeRoom(at now: UInt64) {
    lastRoom = now
    do { try thinning?.run(on: programs.tables, now: now) } catch { thinningFailure = "\(error)" }
  }

  private func chooseSuspects(_ records: [KernelTables.SiteRecord]) {
    var levels: [KernelSiteDraft.Group: SuspectChoice<KernelSiteDraft.Group>.Level] = [:]
    var caches = KernelCacheNames(tables: programs.tables, slab: before.slab)
    // Sites without a call site always take stacks, so there is nothing to choose.
    for record in records where record.site.call_site != 0 {
      let group = KernelSiteDraft.Group(record.site)
      var level =
        levels[group]
        ?? SuspectChoice.Level(
          bytes: 0, count: 0, allocatedCount: 0,
          isExempt: caches.name(of: record.site).map { before.slab.isReclaimable($0) } ?? false)
      level.bytes &+= record.outstandingBytes
      level.count &+= record.outstandingCount
      level.allocatedCount &+= record.site.allocated_count
      levels[group] = level
    }
    suspects = choice.suspects(levels).filter { !isNoise($0) }
    for record in records where record.site.call_site != 0 && record.site.stack_hash == 0 {
      let isSuspect = suspects.contains(KernelSiteDraft.Group(record.site))
      if isSuspect != record.wantsStacks { programs.tables.setWantsStacks(isSuspect, ofSite: record.index) }
    }
  }

  /// Stops recording what is nobody's leak, so that it does not fill the table of blocks: a walk over all files allocates
  /// hundreds of thousands. This takes effect only where caches that the kernel takes back are left out, too
  /// (`KernelPrograms`).
  private func leaveOutNoise(_ records: [KernelTables.SiteRecord]) {
    let much = UInt64(max(1, configuration.maximumAllocations / 16))
    for record in records
    where record.outstandingCount > much && !record.isLeftOut && record.site.call_site != 0
      && record.site.class == LT_KERNEL_SLAB.rawValue && isNoise(KernelSiteDraft.Group(record.site))
    {
      programs.tables.leaveOut(site: record.index)
    }
  }

  /// Whether the caller alone tells that its memory is nobody's leak, because it grows with what others keep.
  private func isNoise(_ group: KernelSiteDraft.Group) -> Bool {
    if let known = noiseByGroup[group] { return known }
    let caller = StackTrace(addresses: [group.callSite], completeness: .callerOnly)
    let isNoise = KernelFrames.noise(in: symbols.frames(for: caller, leafIsExact: false), class: .slab) != nil
    noiseByGroup[group] = isNoise
    return isNoise
  }

  // MARK: Events

  /// Readable when events wait; nil unless they were asked for.
  package var pollDescriptor: Int32? { programs.events?.pollDescriptor }

  package func handleEvents() {
    guard let events = programs.events else { return }
    events.consume { bytes in
      guard bytes.count >= MemoryLayout<lt_kernel_event>.size, let onEvent else { return }
      let event = bytes.loadUnaligned(as: lt_kernel_event.self)
      let site = programs.tables.sites.site(at: min(Int(event.site), programs.tables.sites.count - 1))
      let caller = symbols.frames(
        for: StackTrace(addresses: [site.call_site], completeness: .callerOnly), leafIsExact: false
      ).first
      onEvent(
        KernelEvent(
          time: event.time, isFree: event.is_free != 0, allocator: KernelSiteDraft.allocator(of: site),
          address: event.address, sizeInBytes: event.size, caller: site.call_site == 0 ? nil : caller?.function,
          processID: Int32(bitPattern: event.process_id), threadID: Int32(bitPattern: event.thread_id)))
    }
  }
}

/// A recorded block was allocated or freed.
package struct KernelEvent: Sendable {
  /// CLOCK_MONOTONIC nanoseconds.
  package var time: UInt64
  package var isFree: Bool
  package var allocator: String
  package var address: UInt64
  package var sizeInBytes: UInt64
  /// The function that asked for the block; nil where only a call stack would tell.
  package var caller: String?
  /// The task that was running. In an interrupt it need not be the task for which the interrupt worked.
  package var processID: Int32
  package var threadID: Int32
}
