import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import ProcessImage
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Everything recorded so far. Any number of reports can be made of it.
  ///
  /// - Parameters:
  ///   - checks: results of leak checks; the latest of each process counts.
  ///   - looksAtBlocks: whether reports need single blocks: for ages and verdicts, and to list them.
  ///   - includesFreed: whether reports need the stacks of whose blocks none is left.
  package func snapshot(
    checks: [LeakCheckResult] = [], looksAtBlocks: Bool = true, includesFreed: Bool = false
  ) -> TraceSnapshot {
    lookAtUnexplainedGrowth()
    handleEvents()
    let (sites, now) = settledSites()
    // The course ends with this report. It is taken once, because later ticks may merge its windows.
    recordGrowth(at: now, isForced: true)
    let history = growth?.history
    var snapshot = TraceSnapshot(configuration: configuration, time: now, startTime: startTime)
    snapshot.startInUnixSeconds = startInUnixSeconds
    snapshot.sampling = tables.sampling
    snapshot.thinningTime = thinning.beginTime
    snapshot.sites = sites
    snapshot.siteCapacity = tables.sites.count
    snapshot.history = history
    snapshot.timeline = growth?.timeline ?? []
    snapshot.processes = processTable.all.map { process(of: $0, history: history, sites: sites) }
    snapshot.replacedImages = processTable.replacedImages
    if configuration.watchesFrees { snapshot.frees = Dictionary(grouping: tables.freeRecords(), by: \.site) }
    snapshot.stacks = stacksOfHolders(in: snapshot, includesFreed: includesFreed)
    snapshot.notes = notes
    if looksAtBlocks {
      do { snapshot.blocks = try blocks() } catch {
        snapshot.notes.append("ages and single blocks are missing: \(error)")
      }
    }
    snapshot.checks = checks
    snapshot.retention = retentionSummaries(sites: snapshot.sites)
    snapshot.probes = reportProbes()
    snapshot.functionsThatMayNotThrow = attacher.functionsThatMayNotThrow(snapshot.probes)
    snapshot.losses = losses()
    snapshot.walks = completion.summary(framePointerReason: programs.framePointerReason)
    snapshot.previousOutstanding = previousOutstanding
    return snapshot
  }

  /// The sites, with their stacks as complete as can be. A stack that broke off in the kernel waits for user space to
  /// complete it from a copy. Copies that came after events were last handled are used first: otherwise the report would
  /// show broken stacks that no counter counts as lost.
  ///
  /// - Returns: also the moment just before they were read: they count every block that is older.
  private func settledSites() -> (sites: [SiteRecord<lt_site>], time: UInt64) {
    var time = monotonicNanoseconds()
    var sites = tables.sites.records()
    // Three times at most: a process that allocates without pause always has another one waiting.
    for _ in 0..<3 where sites.contains(where: { tables.isPending(UInt32($0.index)) }) {
      completion.completeSamples()
      time = monotonicNanoseconds()
      sites = tables.sites.records()
    }
    return (sites, time)
  }

  private func blocks() throws -> [TraceSnapshot.Block] {
    var blocks: [TraceSnapshot.Block] = []
    blocks.reserveCapacity(tables.liveBlocks)
    try tables.forEachBlock { block in
      blocks.append(
        TraceSnapshot.Block(
          address: block.address, sizeInBytes: block.sizeInBytes, site: block.site, time: block.time,
          level: block.level))
    }
    return blocks
  }

  private func process(
    of process: TracedProcess, history: OutstandingHistory?, sites: [SiteRecord<lt_site>]
  ) -> TraceSnapshot.Process {
    var value = TraceSnapshot.Process(
      processID: process.processID, slot: process.slot, generation: process.generation,
      imageNumber: process.imageNumber)
    value.parentProcessID = process.parentProcessID
    value.isTarget = process.isTarget
    value.command = process.command
    value.controlGroup = process.controlGroup
    value.state = process.state
    value.isTracedFromStart = process.isTracedFromStart
    value.ledger = process.image.ledger
    value.threadStackSites = process.image.threadStackSites
    value.threads = process.state == .running ? threads(of: process) : process.image.threads
    value.unexplained = process.image.unexplained
    value.retired = process.image.retired
    value.unmatchedFrees = tables.process(slot: process.slot).unmatched_frees
    (value.beginTime, value.endTime) = (process.image.beginTime, process.endTime)
    value.growthClock = history?.clock(since: process.image.beginTime, until: process.endTime)
    if configuration.separatesThreads { value.threadNames = threadNames(of: process, sites) }
    return value
  }

  /// The present names of threads. Those that have ended have the names from when they first allocated.
  private func threadNames(of process: TracedProcess, _ sites: [SiteRecord<lt_site>]) -> [Int32: String] {
    var names = process.image.threadNames
    let threads = sites.compactMap { record -> Int32? in
      UInt32(record.site.process_slot) == process.slot && record.site.process_generation == process.generation
        ? record.site.threadID : nil
    }
    for thread in Set(threads) {
      guard let text = try? readFile("/proc/\(process.processID)/task/\(thread)/comm") else { continue }
      names[thread] = String(decoding: text.prefix { $0 != 0x0a }, as: UTF8.self)
    }
    return names
  }

  /// The stacks of sites that hold something, or whose addresses may mean different code in different epochs. All are read
  /// at once, because handling events meanwhile can remove sites and stacks from the tables.
  private func stacksOfHolders(in snapshot: TraceSnapshot, includesFreed: Bool) -> [UInt64: StackTrace] {
    var epochs: [UInt64: UInt32] = [:]
    var wanted: Set<UInt64> = []
    let ledgers = Dictionary(
      snapshot.processes.map { ($0.slot, $0.ledger) }, uniquingKeysWith: { _, last in last })
    let ended = Dictionary(
      snapshot.processes.compactMap { process in process.endTime.map { (process.slot, $0) } },
      uniquingKeysWith: { _, last in last })
    for record in snapshot.sites {
      let hash = record.site.stack_hash
      let holdsMapping = ledgers[UInt32(record.site.process_slot)]?.totals[UInt32(record.index)] != nil
      if includesFreed || record.outstandingCount > 0 || record.outstandingBytes > 0 || holdsMapping {
        wanted.insert(hash)
      } else if let end = ended[UInt32(record.site.process_slot)],
        let peak = snapshot.history?.peak(sites: [(record.index, record.identity)]),
        SitePeak.wasLately(peak.time, before: end, run: end - min(end, startTime))
      {
        // It may have grown until its process freed it at its end.
        wanted.insert(hash)
      }
      if let epoch = epochs.updateValue(record.site.epoch, forKey: hash), epoch != record.site.epoch {
        wanted.insert(hash)
      }
    }
    for records in snapshot.frees.values { wanted.formUnion(records.map(\.stackHash)) }
    for process in snapshot.processes {
      wanted.formUnion((process.threads?.ended ?? []).lazy.map(\.stackHash).filter { $0 != 0 })
    }
    return wanted.reduce(into: [:]) { $0[$1] = stackTrace(hash: $1) }
  }

  func stackTrace(hash: UInt64) -> StackTrace {
    let stack = tables.stacks.stack(hash: hash)
    return StackTrace(
      addresses: stack?.frames ?? [],
      completeness: stack.map { StackTrace.Completeness(outcome: $0.outcome) } ?? .broken)
  }

  package func reportProbes() -> [Report.Probe] { attacher.reportProbes(hits: tables.hits(ofProbe:)) }

  /// Every cause of loss with its count, 0 included.
  package func lossCounters() -> [Report.LossCounter] {
    losses() + completion.summary(framePointerReason: programs.framePointerReason).brokenStacks
  }

  private func losses() -> [Report.LossCounter] {
    var values = tables.counterValues()
    values[Int(LT_COUNTER_LATE_FORKS.rawValue)] += children.lateCount
    return Report.LossCounter.losses(values)
  }
}

extension StackTrace.Completeness {
  /// - Parameter outcome: `enum lt_unwind_outcome` with its flags.
  init(outcome: UInt32) {
    switch outcome & 0xff {
    case UInt32(LT_OUTCOME_COMPLETE.rawValue): self = .complete
    case UInt32(LT_OUTCOME_TRUNCATED.rawValue): self = .truncated
    case UInt32(LT_OUTCOME_FRAME_POINTERS.rawValue): self = .framePointersOnly
    default: self = .broken
    }
  }
}
