import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import TraceModel

extension ReportBuilder {
  /// Adds the sites to a report that it is to show, in the order given.
  func addSites(_ drafts: [SiteDraft], to report: inout Report) {
    var suppressions = request.suppressions
    var places: [Int] = []
    for (place, draft) in drafts.enumerated() {
      let verdicts = draft.tallies
      var prepared: AllocationSite?
      if let verdicts, !suppressions.isEmpty, canBeSuppressed(verdicts) {
        // Suppression rules match names, so every leak needs its names now. That includes sites beyond the limit, because
        // the sums include them.
        var site = site(from: draft)
        suppress(in: &site, by: &suppressions, &report)
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
      var site = prepared ?? site(from: draft)
      if let kinds = request.shownKinds {
        site.allocations.removeAll { $0.verdict.map { !kinds.contains($0.kind) } ?? false }
      }
      report.sites.append(site)
      places.append(place)
    }
    for position in SiteCourse.chosen(of: report.sites) {
      report.sites[position].course = course(of: drafts[places[position]])
    }
    if request.summaryOnly {
      report.leftOutSites = 0
      report.leftOut = Tally()
    }
    report.suppressions = suppressions.uses
  }

  private func site(from draft: SiteDraft) -> AllocationSite {
    let process = snapshot.processes[draft.process]
    let stack = snapshot.stack(hash: draft.key.stackHash)
    let probe = Int(draft.probe)
    let allocator =
      draft.key.allocationClass == .mapping
      ? "mmap" : probe < snapshot.probes.count ? snapshot.probes[probe].function : "?"
    var site = AllocationSite(
      processID: process.processID, allocationClass: draft.key.allocationClass, allocator: allocator,
      outstanding: draft.sums.outstanding, allocated: draft.sums.allocated, freed: draft.sums.freed, stack: stack,
      frames: naming.frames(of: stack, in: draft.code),
      verdicts: draft.tallies ?? [.unchecked: draft.sums.outstanding], allocations: draft.sums.blocks)
    if let thread = draft.key.threadID {
      site.threadID = thread
      site.threadName = process.threadNames[thread]
    }
    site.keeps = draft.verdicts?.keeps ?? Tally()
    site.holders = draft.verdicts?.holders ?? [:]
    if configuration.isSampling { site.outstandingBytesStandardError = draft.sums.variance.squareRoot() }
    site.growth = growth(of: draft, process)
    site.oldestAge = draft.sums.oldestAge(at: snapshot.time)
    return site
  }

  /// Evidence of whether a site grows; nil when it held memory for too short a time to tell.
  private func growth(of draft: SiteDraft, _ process: TraceSnapshot.Process) -> GrowthEvidence? {
    guard let survivors = draft.sums.survivors, let clock = process.growthClock,
      var series = snapshot.history?.series(sites: draft.sites, clock: clock)
    else { return nil }
    if configuration.isSampling, draft.key.allocationClass == .heap {
      series.allocatedWithoutYoungest /= Double(UInt64(1) << UInt64(LT_COUNT_UNIT_SHIFT))
    }
    return GrowthAnalysis.evidence(
      series: series, survivors: survivors, clock: clock, isTracedFromStart: process.isTracedFromStart)
  }

  /// What a site held through the run; nil when it never held memory when it was looked at.
  private func course(of draft: SiteDraft) -> SiteCourse? {
    guard let clock = snapshot.processes[draft.process].growthClock else { return nil }
    return snapshot.history?.series(sites: draft.sites, clock: clock)?.course
  }

  // MARK: Suppressions

  /// Whether suppression rules are to be tried on a site. Reachable blocks are no leaks; unless they are shown, they get no
  /// names for this, because finding names for all of them would take long.
  private func canBeSuppressed(_ verdicts: [VerdictKind: Tally]) -> Bool {
    suppressibleKinds.contains { (verdicts[$0]?.count ?? 0) > 0 }
  }

  private var suppressibleKinds: Set<VerdictKind> {
    var kinds: Set<VerdictKind> = [.definitelyLost, .indirectlyLost, .possiblyLost]
    if request.shownKinds?.contains(.stillReachable) ?? true { kinds.insert(.stillReachable) }
    return kinds
  }

  private func suppress(
    in site: inout AllocationSite, by suppressions: inout Suppressions, _ report: inout Report
  ) {
    let removed = suppressions.suppress(in: &site, kinds: suppressibleKinds)
    guard let check = report.leakChecks.firstIndex(where: { $0.processID == site.processID }) else { return }
    for (kind, tally) in removed {
      report.leakChecks[check].kinds[kind, default: Tally()] -= tally
      report.leakChecks[check].suppressed += tally
    }
  }
}
