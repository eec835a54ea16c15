import Accounting
import CTraceABI
import Glibc
import LeakAnalysis
import ProcessImage
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Everything recorded so far, as one report.
  ///
  /// - Parameter checks: results of leak checks; the latest of each process counts.
  package func report(_ request: ReportRequest, checks: [LeakCheckResult] = []) -> Report {
    handleEvents()
    let now = monotonicNanoseconds()
    var checksByProcess: [ObjectIdentifier: LeakCheckResult] = [:]
    for check in checks {
      guard
        let process = processes.last(where: {
          $0.processID == check.processID && $0.generation == check.generation
        })
      else { continue }
      checksByProcess[ObjectIdentifier(process)] = check
    }
    var gathering = SiteGathering(
      tables: tables, configuration: configuration, processOfSlot: process(slot:),
      isSameCode: isSameCode)
    if !request.combinedOnly {
      do {
        setGrowthClocks()
        try gathering.addBlocks(tables: tables, request: request, checks: checksByProcess, now: now)
      } catch {
        notes.append("ages and single blocks are missing: \(error)")
      }
    }

    var report = Report(
      target: Report.Target(kind: .process),
      window: Report.Window(
        startInUnixSeconds: startInUnixSeconds,
        duration: .nanoseconds(Int64(now &- (startTime == 0 ? now : startTime)))))
    addTotals(of: gathering.drafts, request: request, to: &report)

    let usesBlocks =
      !request.combinedOnly && (request.minimumAge > .zero || configuration.isSampling)
    var shown = gathering.drafts.filter { isShown($0.process, request) }
    for index in shown.indices where usesBlocks { shown[index].sums.outstanding = shown[index].sums.matching }
    shown.removeAll { $0.sums.outstanding.count == 0 && $0.sums.outstanding.bytes == 0 }
    report.leakChecks = leakChecks(checksByProcess, shown)
    sort(&shown, by: request.order)
    previousOutstanding = Dictionary(
      shown.map { ($0.key, $0.sums.outstanding.bytes) }, uniquingKeysWith: { first, _ in first })
    addSites(shown, request: request, now: now, to: &report)
    report.timeline = timeline
    report.retention = retentionSummaries()
    report.probes = reportProbes()
    report.loss = lossCounters()
    report.notes = notes + exceptionNotes(report.probes) + stackNotes(request)
    if configuration.isSampling {
      report.sampling = Report.Sampling(
        meanInBytes: configuration.sampleMeanInBytes ?? 0,
        everyNth: configuration.sampleEveryNth.map(UInt64.init))
    }
    return report
  }

  /// What the checks found, by kind: of the blocks that are outstanding now.
  private func leakChecks(
    _ checks: [ObjectIdentifier: LeakCheckResult], _ drafts: [SiteDraft]
  ) -> [LeakCheckSummary] {
    processes.compactMap { process in
      guard var summary = checks[ObjectIdentifier(process)]?.summary else { return nil }
      for draft in drafts where draft.process === process {
        for (kind, tally) in draft.verdicts?.tallies(outstanding: draft.sums.outstanding) ?? [:] {
          summary.kinds[kind, default: Tally()] += tally
        }
      }
      return summary
    }
  }

  /// A warning for functions in use whose exceptions cannot pass their return probe.
  private func exceptionNotes(_ reported: [Report.Probe]) -> [String] {
    let names = zip(probes, reported).filter {
      $0.returns == .returnProbeDespiteExceptions && $1.hits > 0
    }.map(\.0.function.name)
    if names.isEmpty { return [] }
    return [
      "should \(names.joined(separator: ", ")) throw (memory exhausted) while traced, the target ends: "
        + "exceptions cannot pass a return probe"
    ]
  }

  /// A process that ended gave its memory back: it counts only when it was the target, or nothing else is left.
  private func isShown(_ process: TracedProcess, _ request: ReportRequest) -> Bool {
    process.state == .running || process.isTarget || request.includesEnded
  }

  private func sort(_ drafts: inout [SiteDraft], by order: ReportRequest.Order) {
    // Ties by key, so that two reports of the same state are the same.
    func rank(_ draft: SiteDraft) -> (Int64, Int64, UInt64, UInt64) {
      var primary: Int64
      var secondary: Int64 = 0
      switch order {
      case .bytes:
        primary = Int64(clamping: draft.sums.outstanding.bytes)
        if let verdicts = draft.verdicts {
          // What is lost first, with what is lost by it; then what may be.
          primary = Int64(clamping: verdicts.lostBytes)
          secondary = Int64(clamping: verdicts.bytes(of: .possiblyLost))
        }
      case .count: primary = Int64(clamping: draft.sums.outstanding.count)
      case .age: primary = -Int64(clamping: draft.sums.oldest)
      case .growth:
        primary =
          Int64(clamping: draft.sums.outstanding.bytes) - Int64(clamping: previousOutstanding[draft.key] ?? 0)
      }
      return (primary, secondary, draft.sums.outstanding.bytes, draft.key.stackHash)
    }
    drafts.sort { rank($0) > rank($1) }
  }

  // MARK: Totals

  private func addTotals(
    of drafts: [SiteDraft], request: ReportRequest, to report: inout Report
  ) {
    var totals: [ObjectIdentifier: Report.Totals] = [:]
    var variances: [ObjectIdentifier: Double] = [:]
    for draft in drafts {
      let id = ObjectIdentifier(draft.process)
      let usesBlocks = configuration.isSampling && !request.combinedOnly && request.minimumAge == .zero
      totals[id, default: Report.Totals()].add(draft.sums, outstanding: usesBlocks ? draft.sums.matching : nil)
      variances[id, default: 0] += draft.sums.variance
    }
    var variance = 0.0
    report.processes = replacedImages
    for process in processes {
      let id = ObjectIdentifier(process)
      var total = totals[id] ?? Report.Totals()
      let retired = Tally(
        bytes: process.retiredBytes,
        count: configuration.isSampling
          ? process.retiredCount >> UInt64(LT_COUNT_UNIT_SHIFT) : process.retiredCount)
      total.allocated += retired
      total.freed += retired
      total.unmatchedFrees = tables.process(slot: process.slot).unmatched_frees
      if configuration.isSampling {
        total.outstandingBytesStandardError = variances[id, default: 0].squareRoot()
      }
      report.processes.append(
        Report.ProcessTotals(
          processID: process.processID, parentProcessID: process.parentProcessID,
          command: process.command, state: process.state, totals: total,
          controlGroup: process.controlGroup))
      guard isShown(process, request) else { continue }
      report.totals.outstanding += total.outstanding
      report.totals.allocated += total.allocated
      report.totals.freed += total.freed
      report.totals.unmatchedFrees += total.unmatchedFrees
      variance += variances[id, default: 0]
    }
    if configuration.isSampling {
      report.totals.outstandingBytesStandardError = variance.squareRoot()
    }
  }

  /// The totals of a process image that exec is about to replace.
  func recordReplacedImage(of process: TracedProcess) {
    let gathering = SiteGathering(
      tables: tables, configuration: configuration,
      processOfSlot: { $0 == process.slot ? process : nil }, isSameCode: isSameCode)
    var total = Report.Totals()
    for draft in gathering.drafts { total.add(draft.sums) }
    guard total.allocated.count > 0 else { return }
    replacedImages.append(
      Report.ProcessTotals(
        processID: process.processID, parentProcessID: process.parentProcessID,
        command: process.command, state: .replaced, totals: total,
        controlGroup: process.controlGroup))
  }

  // MARK: Sites

  func site(from draft: SiteDraft, _ stack: StackTrace, now: UInt64) -> AllocationSite {
    let frames = symbolize(stack, draft.code)
    let name =
      draft.key.allocationClass == .mapping
      ? "mmap" : Int(draft.probe) < probes.count ? probes[Int(draft.probe)].function.name : "?"
    var site = AllocationSite(
      processID: draft.process.processID, allocationClass: draft.key.allocationClass,
      allocator: name, outstanding: draft.sums.outstanding, allocated: draft.sums.allocated,
      freed: draft.sums.freed, stack: stack, frames: frames,
      verdicts: draft.verdicts?.tallies(outstanding: draft.sums.outstanding) ?? [.unchecked: draft.sums.outstanding],
      allocations: draft.sums.blocks)
    if let thread = draft.key.threadID {
      site.threadID = thread
      site.threadName = threadName(thread, of: draft.process)
    }
    site.keeps = draft.verdicts?.keeps ?? Tally()
    site.holders = draft.verdicts?.holders ?? [:]
    if configuration.isSampling { site.outstandingBytesStandardError = draft.sums.variance.squareRoot() }
    site.growth = growth(of: draft)
    site.oldestAge = draft.sums.oldestAge(at: now)
    return site
  }

  /// Its present name, or the one that it had when it first allocated.
  private func threadName(_ thread: Int32, of process: TracedProcess) -> String? {
    if let text = try? readFile("/proc/\(process.processID)/task/\(thread)/comm") {
      return String(decoding: text.prefix { $0 != 0x0a }, as: UTF8.self)
    }
    return process.threadNames[thread]
  }

  private func isSameCode(_ draft: SiteDraft, _ epoch: UInt32) -> Bool {
    if draft.key.epoch == epoch { return true }
    let stack = stackTrace(hash: draft.key.stackHash)
    var other = draft.code
    other.epoch = epoch
    return codeIdentities(stack, draft.code) == codeIdentities(stack, other)
  }

  func stackTrace(hash: UInt64) -> StackTrace {
    let summary = tables.stacks.stack(hash: hash)
    return StackTrace(
      addresses: summary?.frames ?? [],
      completeness: summary.map { completeness(ofOutcome: $0.outcome) } ?? .broken)
  }

  private func completeness(ofOutcome outcome: UInt32) -> StackTrace.Completeness {
    switch outcome & 0xff {
    case UInt32(LT_OUTCOME_COMPLETE.rawValue): .complete
    case UInt32(LT_OUTCOME_TRUNCATED.rawValue): .truncated
    case UInt32(LT_OUTCOME_FRAME_POINTERS.rawValue): .framePointersOnly
    default: .broken
    }
  }

  /// On whose behalf a site maps: the program's own, or that of the dynamic loader or a probed allocator. The programs
  /// leave most of the latter out already, but not where a call was not followed because of sampling.
  func owner(ofSite site: UInt32, of process: TracedProcess) -> MappingOwner {
    if let known = process.ownershipOfSite[site] { return known }
    // By addresses, not by names: this runs while processes wait for us.
    let stack = stackTrace(hash: tables.stackHash(ofSite: site)).addresses
    func passes(_ ranges: [Range<UInt64>], _ addresses: some Sequence<UInt64>) -> Bool {
      addresses.contains { address in ranges.contains { $0.contains(address) } }
    }
    var owner = MappingOwner.program
    if passes(process.allocatorCode, stack) { owner = .allocator }
    // The C library's mmap was called by the allocator itself.
    if passes(process.allocatorLibraries, stack.prefix(3)) { owner = .allocator }
    if owner == .program, passes(process.loaderCode, stack) { owner = .loader }
    process.ownershipOfSite[site] = owner
    return owner
  }

  // MARK: Counters

  /// Every cause of loss with its count, 0 included.
  package func lossCounters() -> [Report.LossCounter] {
    var values = tables.counterValues()
    values[Int(LT_COUNTER_LATE_FORKS.rawValue)] += unheldChildren
    return Report.LossCounter.losses(values) + brokenStackCounters()
  }
}
