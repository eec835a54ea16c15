import Accounting
import CTraceABI
import LeakAnalysis
import ReportAnalysis
import TraceModel

/// Makes a report of a snapshot. The result depends only on the snapshot, the request, and the names that stacks get.
struct ReportBuilder {
  let snapshot: TraceSnapshot
  let request: ReportRequest
  let naming: any StackNaming
  /// Whether single blocks are looked at: for ages and verdicts, and to list them.
  private let looksAtBlocks: Bool
  /// The latest leak check of each process, in the order of the snapshot's processes.
  private let checks: [(any BlockVerdicts)?]
  private var gathering: SiteGathering
  /// The outstanding bytes of each shown site, with which the next report sorts by growth.
  private(set) var outstandingBySite: [SiteKey: UInt64] = [:]

  var configuration: TraceConfiguration { snapshot.configuration }

  init(_ snapshot: TraceSnapshot, request: ReportRequest, naming: any StackNaming) {
    self.snapshot = snapshot
    self.request = request
    self.naming = naming
    looksAtBlocks = !request.combinedOnly && snapshot.blocks != nil
    checks = snapshot.processes.map { process in
      snapshot.checks.last { $0.processID == process.processID && $0.generation == process.generation }
    }
    gathering = SiteGathering(snapshot, naming: naming)
  }

  /// Everything that the snapshot has recorded, as one report.
  mutating func build() -> Report {
    if looksAtBlocks { gathering.addBlocks(request: request, checks: checks) }
    let start = snapshot.startTime == 0 ? snapshot.time : snapshot.startTime
    var report = Report(
      target: Report.Target(kind: .process),
      window: Report.Window(
        startInUnixSeconds: snapshot.startInUnixSeconds, duration: .nanoseconds(Int64(snapshot.time &- start))))
    addTotals(of: gathering.drafts, to: &report)
    let shown = shownDrafts()
    report.leakChecks = leakChecks(shown)
    outstandingBySite = Dictionary(
      shown.map { ($0.key, $0.sums.outstanding.bytes) }, uniquingKeysWith: { first, _ in first })
    report.loss = snapshot.losses + snapshot.walks.brokenStacks
    for index in report.leakChecks.indices { report.leakChecks[index].growing = Tally() }
    addSites(shown, to: &report)
    addDestroyedSites(gathering.drafts, to: &report)
    if request.includesFreed { addFreedSites(gathering.drafts, to: &report) }
    report.settings = settings
    report.timeline = timeline(upTo: report)
    report.retention = snapshot.retention
    report.unexplained = unexplainedGrowth
    report.threads = threadSummaries
    report.probes = snapshot.probes
    report.notes =
      snapshot.notes + exceptionNotes() + snapshot.walks.notes(explainsStacks: request.explainsStacks) + naming.notes
    report.sampling = sampling(start: start)
    return report
  }

  /// What the numbers are a sample of; nil when every block was recorded.
  private func sampling(start: UInt64) -> Report.Sampling? {
    let levels = snapshot.sampling
    guard levels.isSampling else { return nil }
    let value = levels.values[levels.current]
    var sampling = Report.Sampling(
      meanInBytes: levels.unit == .bytes ? value : 0, everyNth: levels.unit == .blocks ? value : nil)
    if let time = snapshot.thinningTime {
      sampling.thinning = Report.Sampling.Thinning(
        begin: .nanoseconds(Int64(clamping: time &- min(time, start))), blocks: UInt64(configuration.maximumAllocations)
      )
    }
    return sampling
  }

  /// The course of everything together. It ends with what the totals say: what was noted just before the report, a small part of
  /// the usual distance away, would be the same moment twice.
  private func timeline(upTo report: Report) -> [Report.Moment] {
    guard let last = snapshot.timeline.last else { return [] }
    let duration = report.window.duration
    var moments = snapshot.timeline.filter { $0.elapsed < duration }
    var residentBytes = last.elapsed >= duration ? last.residentBytes : nil
    if let near = moments.last {
      let usual = moments.count > 1 ? near.elapsed - moments[moments.count - 2].elapsed : duration
      if duration - near.elapsed < usual / 8 {
        residentBytes = residentBytes ?? near.residentBytes
        moments.removeLast()
      }
    }
    return moments + [
      Report.Moment(elapsed: duration, outstanding: report.totals.outstanding, residentBytes: residentBytes)
    ]
  }

  private var threadSummaries: [ThreadSummary]? {
    let found = snapshot.processes.filter(isShown).compactMap { process -> ThreadSummary? in
      guard let threads = process.threads else { return nil }
      func code(_ epoch: UInt32) -> RecordedCode {
        RecordedCode(processID: process.processID, imageNumber: process.imageNumber, epoch: epoch)
      }
      var summary = threads.summary
      guard summary.ended != nil else { return summary }
      summary.ended = threads.ended.map { ended in
        var sums = ended.sums
        // Addresses are read as those that calls return to. The innermost one of the creator is pthread_create's own.
        sums.start = naming.frames(
          of: StackTrace(addresses: [ended.start &+ 1], completeness: .complete), in: code(threads.epoch))
        if ended.stackHash != 0 {
          let stack = snapshot.stack(hash: ended.stackHash)
          let callers = StackTrace(addresses: Array(stack.addresses.dropFirst()), completeness: stack.completeness)
          sums.creator = naming.frames(of: callers, in: code(ended.epoch))
        }
        return sums
      }
      return summary
    }
    return found.isEmpty ? nil : found
  }

  private var unexplainedGrowth: [UnexplainedGrowth]? {
    let found = snapshot.processes.filter(isShown).compactMap(\.unexplained)
    return found.isEmpty ? nil : found
  }

  /// The sites that hold something, in the order that is asked for.
  private func shownDrafts() -> [SiteDraft] {
    let usesBlocks = looksAtBlocks && (request.minimumAge > .zero || snapshot.sampling.isSampling)
    var shown = gathering.drafts.filter { isShown(snapshot.processes[$0.process]) }
    for index in shown.indices where usesBlocks { shown[index].sums.outstanding = shown[index].sums.matching }
    shown.removeAll { $0.sums.outstanding.count == 0 && $0.sums.outstanding.bytes == 0 }
    // The stack hash breaks ties, so that two reports of the same state are the same.
    let ranks = shown.map(rank)
    return shown.indices.sorted { ranks[$0] > ranks[$1] }.map { shown[$0] }
  }

  /// A process that has ended gave its memory back. It is shown only if it was a target, or if ended ones are asked for.
  private func isShown(_ process: TraceSnapshot.Process) -> Bool {
    process.state == .running || process.isTarget || request.includesEnded
  }

  private func rank(_ draft: SiteDraft) -> (Int64, Int64, UInt64, UInt64) {
    let outstanding = draft.sums.outstanding
    var primary: Int64
    var secondary: Int64 = 0
    switch request.order {
    case .bytes:
      primary = Int64(clamping: outstanding.bytes)
      if let verdicts = draft.verdicts {
        // What is lost comes first, together with what it keeps; then what is possibly lost.
        primary = Int64(clamping: verdicts.lostBytes)
        secondary = Int64(clamping: verdicts.bytes(of: .possiblyLost))
      }
    case .count: primary = Int64(clamping: outstanding.count)
    case .age: primary = -Int64(clamping: draft.sums.oldest)
    case .growth:
      primary = Int64(clamping: outstanding.bytes) - Int64(clamping: snapshot.previousOutstanding[draft.key] ?? 0)
    }
    return (primary, secondary, outstanding.bytes, draft.key.stackHash)
  }

  /// Who keeps what a site holds. In a draft, mappings of a site come behind all heap sites.
  func holders(of draft: SiteDraft) -> [Holder]? {
    let capacity = max(1, snapshot.siteCapacity)
    return checks[draft.process]?.holders(ofSites: draft.sites.map { UInt32($0.index % capacity) })
  }

  /// What the checks found, by verdict, for the blocks that are outstanding now.
  private func leakChecks(_ drafts: [SiteDraft]) -> [LeakCheckSummary] {
    snapshot.processes.indices.compactMap { process in
      guard var summary = checks[process]?.summary else { return nil }
      for draft in drafts where draft.process == process {
        for (kind, tally) in draft.tallies ?? [:] { summary.kinds[kind, default: Tally()] += tally }
      }
      return summary
    }
  }

  private var settings: Report.Settings {
    var settings = Report.Settings()
    settings.minimumSizeInBytes = configuration.sizes.lowerBound
    settings.maximumSizeInBytes = configuration.sizes.upperBound
    settings.minimumAge = looksAtBlocks ? request.minimumAge : .zero
    settings.tracesMappings = configuration.tracesMappings
    return settings
  }

  /// A warning about functions in use that may throw and have a return probe, which no exception can pass.
  private func exceptionNotes() -> [String] {
    if snapshot.functionsThatMayNotThrow.isEmpty { return [] }
    return [
      "should \(snapshot.functionsThatMayNotThrow.joined(separator: ", ")) throw (memory exhausted) while traced, "
        + "the target ends: exceptions cannot pass a return probe"
    ]
  }

  // MARK: Totals

  private func addTotals(of drafts: [SiteDraft], to report: inout Report) {
    var totals = [Report.Totals](repeating: Report.Totals(), count: snapshot.processes.count)
    var variances = [Double](repeating: 0, count: snapshot.processes.count)
    let usesBlocks = snapshot.sampling.isSampling && looksAtBlocks && request.minimumAge == .zero
    for draft in drafts {
      totals[draft.process].add(draft.sums, outstanding: usesBlocks ? draft.sums.matching : nil)
      variances[draft.process] += draft.sums.variance
    }
    var variance = 0.0
    report.processes = snapshot.replacedImages
    for (index, process) in snapshot.processes.enumerated() {
      var total = totals[index]
      let retired = Tally(
        bytes: process.retired.bytes, count: process.retired.count >> UInt64(LT_COUNT_UNIT_SHIFT))
      total.allocated += retired
      total.freed += retired
      total.unmatchedFrees = process.unmatchedFrees
      if snapshot.sampling.isSampling { total.outstandingBytesStandardError = variances[index].squareRoot() }
      report.processes.append(
        Report.ProcessTotals(
          processID: process.processID, parentProcessID: process.parentProcessID,
          command: process.command, state: process.state, totals: total,
          controlGroup: process.controlGroup))
      guard isShown(process) else { continue }
      report.totals.outstanding += total.outstanding
      report.totals.allocated += total.allocated
      report.totals.freed += total.freed
      report.totals.unmatchedFrees += total.unmatchedFrees
      variance += variances[index]
    }
    if snapshot.sampling.isSampling {
      report.totals.outstandingBytesStandardError = variance.squareRoot()
    }
  }
}

extension TraceSnapshot {
  /// The stack with a hash. It has no frames when the stack could not be stored.
  func stack(hash: UInt64) -> StackTrace { stacks[hash] ?? StackTrace(addresses: [], completeness: .broken) }
}
