import Accounting
import LeakAnalysis
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Puts into a report the sites that it is to show, in the order given.
  func addSites(_ drafts: [SiteDraft], request: ReportRequest, now: UInt64, to report: inout Report) {
    var suppressions = request.suppressions
    // All stacks first: events that are handled meanwhile can take sites and stacks out of the tables.
    let stacks = drafts.map { stackTrace(hash: $0.key.stackHash) }
    for (draft, stack) in zip(drafts, stacks) {
      // Naming stacks can take long, and processes that wait for us are not to wait for that.
      if monotonicNanoseconds() &- lastEvents > Self.longestPause { handleEvents() }
      let verdicts = draft.verdicts?.tallies(outstanding: draft.sums.outstanding)
      var prepared: AllocationSite?
      if let verdicts, !suppressions.isEmpty, Self.canBeSuppressed(verdicts, request) {
        // Every leak needs its names now, also those beyond the limit: they are in the sums.
        var site = site(from: draft, stack, now: now)
        Self.suppress(in: &site, by: &suppressions, request, &report)
        prepared = site
      }
      let left = prepared?.verdicts ?? verdicts
      if let left, left.allSatisfy({ $0.value.count == 0 }) { continue }
      if let kinds = request.shownKinds, let left, !kinds.contains(where: { (left[$0]?.count ?? 0) > 0 }) {
        report.leftOutSites += 1
        for tally in left.values { report.leftOut += tally }
        continue
      }
      if request.summaryOnly { continue }
      if let limit = request.limit, report.sites.count >= limit { continue }
      var site = prepared ?? site(from: draft, stack, now: now)
      if let kinds = request.shownKinds {
        site.allocations.removeAll { $0.verdict.map { !kinds.contains($0.kind) } ?? false }
      }
      report.sites.append(site)
    }
    if request.summaryOnly {
      report.leftOutSites = 0
      report.leftOut = Tally()
    }
    report.suppressions = suppressions.uses
  }

  /// Blocks that can be reached are no leaks; to find names for all of them would take long.
  private static func canBeSuppressed(_ verdicts: [VerdictKind: Tally], _ request: ReportRequest) -> Bool {
    suppressibleKinds(request).contains { (verdicts[$0]?.count ?? 0) > 0 }
  }

  private static func suppressibleKinds(_ request: ReportRequest) -> Set<VerdictKind> {
    var kinds: Set<VerdictKind> = [.definitelyLost, .indirectlyLost, .possiblyLost]
    if request.shownKinds?.contains(.stillReachable) ?? true { kinds.insert(.stillReachable) }
    return kinds
  }

  private static func suppress(
    in site: inout AllocationSite, by suppressions: inout Suppressions, _ request: ReportRequest,
    _ report: inout Report
  ) {
    let removed = suppressions.suppress(in: &site, kinds: suppressibleKinds(request))
    guard let check = report.leakChecks.firstIndex(where: { $0.processID == site.processID }) else { return }
    for (kind, tally) in removed {
      report.leakChecks[check].kinds[kind, default: Tally()] -= tally
      report.leakChecks[check].suppressed += tally
    }
  }
}
