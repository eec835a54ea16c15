import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import ReportAnalysis
import TraceModel

extension ReportBuilder {
  /// Adds the sites to a report that it is to show, in the order given.
  func addSites(_ drafts: [SiteDraft], to report: inout Report) {
    var suppressions = request.suppressions
    let missing = MissingRecords(report)
    var named: [SiteDraft] = []
    for draft in drafts {
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
      if let word = site.growth?.word { site.growth?.word = missing.supported(word) }
      report.sites.append(site)
      named.append(draft)
    }
    for position in SiteCourse.chosen(of: report.sites) {
      report.sites[position].course = course(of: named[position])
    }
    addOwnGrowth(of: named, missing, to: &report)
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
    let isHeld = [VerdictKind.stillReachable, .possiblyLost].contains { site.verdicts[$0]?.count ?? 0 > 0 }
    if isHeld { site.heldBy = holders(of: draft) }
    if configuration.isSampling { site.outstandingBytesStandardError = draft.sums.variance.squareRoot() }
    site.growth = growth(of: draft, process)
    site.oldestAge = draft.sums.oldestAge(at: snapshot.time)
    return site
  }

  /// Evidence of whether a site grows; nil when it held memory for too short a time to tell.
  private func growth(of draft: SiteDraft, _ process: TraceSnapshot.Process) -> GrowthEvidence? {
    growth(of: [draft], process)
  }

  /// The same of several sites of one process together.
  private func growth(of drafts: [SiteDraft], _ process: TraceSnapshot.Process) -> GrowthEvidence? {
    guard let clock = process.growthClock, let history = snapshot.history else { return nil }
    var survivors = Survivors()
    var whole: OutstandingSeries?
    for draft in drafts {
      guard let own = draft.sums.survivors, var series = history.series(sites: draft.sites, clock: clock) else {
        continue
      }
      if configuration.isSampling, draft.key.allocationClass == .heap {
        series.allocatedWithoutYoungest /= Double(UInt64(1) << UInt64(LT_COUNT_UNIT_SHIFT))
      }
      survivors.add(own)
      whole = whole.map { $0.adding(series) } ?? series
    }
    guard let whole else { return nil }
    return GrowthAnalysis.evidence(
      series: whole, survivors: survivors, clock: clock, isTracedFromStart: process.isTracedFromStart)
  }

  /// Judges sites together that have the same first own frame: what many stacks hold a few blocks of grows only as a whole.
  ///
  /// - Parameter drafts: those of the report's sites, in the same order.
  private func addOwnGrowth(of drafts: [SiteDraft], _ missing: MissingRecords, to report: inout Report) {
    struct Group: Hashable {
      var process: Int
      var place: OwnFrame.Place
    }
    let roles = FrameRoles()
    let groups = Dictionary(
      grouping: report.sites.indices.filter { !report.sites[$0].frames.isEmpty },
      by: {
        Group(process: drafts[$0].process, place: OwnFrame.Place(OwnFrame.frame(of: report.sites[$0], roles: roles)))
      })
    for (group, members) in groups where members.count > 1 {
      guard var evidence = growth(of: members.map({ drafts[$0] }), snapshot.processes[group.process]) else { continue }
      evidence.word = missing.supported(evidence.word)
      for member in members { report.sites[member].ownGrowth = evidence }
    }
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
