import CTraceABI
import Glibc
import TraceModel

extension AllocationTracer {
  /// Everything recorded so far, as one report.
  package func report(_ request: ReportRequest) -> Report {
    handleEvents()
    let now = monotonicNanoseconds()
    var gathering = SiteGathering(
      tables: tables, configuration: configuration, processOfSlot: process(slot:),
      isSameCode: isSameCode)
    if !request.combinedOnly {
      do { try gathering.addBlocks(tables: tables, request: request, now: now) } catch {
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
    for index in shown.indices where usesBlocks { shown[index].outstanding = shown[index].matching }
    shown.removeAll { $0.outstanding.count == 0 && $0.outstanding.bytes == 0 }
    sort(&shown, by: request.order)
    previousOutstanding = Dictionary(
      shown.map { ($0.key, $0.outstanding.bytes) }, uniquingKeysWith: { first, _ in first })
    // Stacks first: naming them can take long, and processes that wait for us are not to wait for that.
    let stacks = shown.prefix(request.limit ?? .max).map { ($0, stackTrace(hash: $0.key.stackHash)) }
    for (draft, stack) in stacks {
      report.sites.append(site(from: draft, stack, now: now))
      if monotonicNanoseconds() &- lastEvents > Self.longestPause { handleEvents() }
    }
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
    func rank(_ draft: SiteDraft) -> (Int64, UInt64, UInt64) {
      let primary: Int64 =
        switch order {
        case .bytes: Int64(clamping: draft.outstanding.bytes)
        case .count: Int64(clamping: draft.outstanding.count)
        case .age: -Int64(clamping: draft.oldest)
        case .growth:
          Int64(clamping: draft.outstanding.bytes)
            - Int64(clamping: previousOutstanding[draft.key] ?? 0)
        }
      return (primary, draft.outstanding.bytes, draft.key.stackHash)
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
      totals[id, default: Report.Totals()].outstanding +=
        usesBlocks ? draft.matching : draft.outstanding
      totals[id, default: Report.Totals()].allocated += draft.allocated
      totals[id, default: Report.Totals()].freed += draft.freed
      variances[id, default: 0] += draft.variance
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
          command: process.command, state: process.state, totals: total))
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
    for draft in gathering.drafts {
      total.outstanding += draft.outstanding
      total.allocated += draft.allocated
      total.freed += draft.freed
    }
    guard total.allocated.count > 0 else { return }
    replacedImages.append(
      Report.ProcessTotals(
        processID: process.processID, parentProcessID: process.parentProcessID,
        command: process.command, state: .replaced, totals: total))
  }

  // MARK: Sites

  private func site(from draft: SiteDraft, _ stack: StackTrace, now: UInt64) -> AllocationSite {
    let frames = symbolize(stack, draft.code)
    let name =
      draft.key.allocationClass == .mapping
      ? "mmap" : Int(draft.probe) < probes.count ? probes[Int(draft.probe)].function.name : "?"
    var site = AllocationSite(
      processID: draft.process.processID, allocationClass: draft.key.allocationClass,
      allocator: name, outstanding: draft.outstanding, allocated: draft.allocated,
      freed: draft.freed, stack: stack, frames: frames,
      verdicts: [.unchecked: draft.outstanding], allocations: draft.blocks)
    if configuration.isSampling { site.outstandingBytesStandardError = draft.variance.squareRoot() }
    if draft.oldest != .max { site.oldestAge = .nanoseconds(Int64(now &- draft.oldest)) }
    return site
  }

  private func isSameCode(_ draft: SiteDraft, _ epoch: UInt32) -> Bool {
    if draft.key.epoch == epoch { return true }
    let stack = stackTrace(hash: draft.key.stackHash)
    var other = draft.code
    other.epoch = epoch
    return codeIdentities(stack, draft.code) == codeIdentities(stack, other)
  }

  private func stackTrace(hash: UInt64) -> StackTrace {
    let summary = tables.stack(hash: hash)
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

  /// Whether what a site maps is not the program's own: made by the dynamic loader, or inside a probed allocator.
  /// The programs leave most of the latter out already, but not where a call was not followed because of sampling.
  func isAllocatorsOwn(site: UInt32, of process: TracedProcess) -> Bool {
    if let known = process.ownershipOfSite[site] { return known }
    // By addresses, not by names: this runs while processes wait for us.
    let stack = stackTrace(hash: tables.stackHash(ofSite: site))
    let isOwn = stack.addresses.contains { address in
      process.allocatorCode.contains { $0.contains(address) }
    }
    process.ownershipOfSite[site] = isOwn
    return isOwn
  }

  // MARK: Counters

  /// Every cause of loss with its count, 0 included.
  package func lossCounters() -> [Report.LossCounter] {
    var values = tables.counterValues()
    values[Int(LT_COUNTER_LATE_FORKS.rawValue)] += unheldChildren
    return (0..<Int32(LT_COUNTER_MAX.rawValue)).filter { ctrace_counter_is_loss($0) }.map {
      Report.LossCounter(
        name: String(cString: ctrace_counter_name($0)),
        description: String(cString: ctrace_counter_meaning($0)), value: values[Int($0)])
    } + brokenStackCounters()
  }
}
