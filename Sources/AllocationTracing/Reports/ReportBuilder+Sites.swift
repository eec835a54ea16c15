import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import ReportAnalysis
import TraceModel

extension ReportBuilder {
  /// Adds the sites to a report, in the order given.
  func addSites(_ drafts: [SiteDraft], to report: inout Report) {
    var suppressions = request.suppressions
    let missing = MissingRecords(report)
    var shown = 0
    var beyond = Report.Omission()
    var named: [SiteDraft] = []
    for draft in drafts {
      let verdicts = draft.tallies
      let growth = verdicts == nil ? nil : growthIfGrowing(draft, missing)
      var prepared: AllocationSite?
      if let verdicts, !suppressions.isEmpty, canBeSuppressed(verdicts, isGrowing: growth != nil) {
        // Suppression rules match names, so every leak needs its names now. That includes sites beyond the limit, because
        // the sums include them.
        var site = site(from: draft)
        suppress(in: &site, isGrowing: growth != nil, by: &suppressions, &report)
        prepared = site
      }
      let left = prepared?.verdicts ?? verdicts
      if let left, left.allSatisfy({ $0.value.count == 0 }) { continue }
      if growth != nil, let left { count(left, of: draft, in: &report) }
      guard let limit = request.limit else {
        report.sites.append(prepared ?? site(from: draft))
        named.append(draft)
        continue
      }
      let outstanding = prepared?.outstanding ?? draft.sums.outstanding
      if !request.selection.shows(verdicts: left, isGrowing: growth != nil) {
        report.leftOutSites += 1
        report.leftOut += outstanding
      } else if shown < limit {
        shown += 1
        report.sites.append(prepared ?? site(from: draft))
        named.append(draft)
      } else {
        beyond.sites += 1
        beyond.outstanding += outstanding
      }
    }
    for position in SiteCourse.chosen(of: report.sites) {
      report.sites[position].course = course(of: named[position])
    }
    for position in report.sites.indices {
      if let word = report.sites[position].growth?.word {
        report.sites[position].growth?.word = missing.supported(word)
      }
    }
    let roles = FrameRoles()
    for position in named.indices {
      report.sites[position].freedAt = freePlaces(of: named[position], roles: roles)
    }
    addOwnGrowth(of: named, missing, roles: roles, to: &report)
    if beyond.sites > 0 { report.beyondLimit = beyond }
    report.suppressions = suppressions.uses
  }

  /// Adds those stacks that allocated and hold nothing any more.
  func addFreedSites(_ drafts: [SiteDraft], to report: inout Report) {
    report.freedSites = drafts.filter {
      $0.sums.outstanding.count == 0 && $0.sums.outstanding.bytes == 0 && $0.sums.allocated.count > 0
    }.map { draft in
      var site = site(from: draft)
      site.verdicts = [:]
      return site
    }
  }

  /// Counts a stack that grows in what its process's check has found.
  private func count(_ verdicts: [VerdictKind: Tally], of draft: SiteDraft, in report: inout Report) {
    let processID = snapshot.processes[draft.process].processID
    guard let check = report.leakChecks.firstIndex(where: { $0.processID == processID }) else { return }
    var sum = report.leakChecks[check].growing ?? Tally()
    for tally in verdicts.values { sum += tally }
    report.leakChecks[check].growing = sum
  }

  /// The evidence of a site that surely grows; nil for all others, most of which are told apart cheaply.
  func growthIfGrowing(_ draft: SiteDraft, _ missing: MissingRecords) -> GrowthEvidence? {
    guard missing.supported(.growing) == .growing, let survivors = draft.sums.survivors,
      GrowthAnalysis.canBeGrowing(survivors)
    else { return nil }
    let evidence = growth(of: draft, snapshot.processes[draft.process])
    return evidence?.word == .growing ? evidence : nil
  }

  func site(from draft: SiteDraft) -> AllocationSite {
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
    if snapshot.sampling.isSampling { site.outstandingBytesStandardError = draft.sums.variance.squareRoot() }
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
      if draft.key.allocationClass == .heap {
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
  private func addOwnGrowth(
    of drafts: [SiteDraft], _ missing: MissingRecords, roles: FrameRoles, to report: inout Report
  ) {
    struct Group: Hashable {
      var process: Int
      var place: OwnFrame.Place
    }
    let groups = Dictionary(
      grouping: report.sites.indices.filter { !report.sites[$0].frames.isEmpty },
      by: {
        Group(process: drafts[$0].process, place: OwnFrame.Place(OwnFrame.frame(of: report.sites[$0], roles: roles)))
      })
    for (group, members) in groups where members.count > 1 {
      guard var evidence = growth(of: members.map({ drafts[$0] }), snapshot.processes[group.process]) else { continue }
      evidence.word = missing.supported(evidence.word)
      for member in members {
        report.sites[member].ownGrowth = evidence
        let isCounted = report.sites[member].growth?.word == .growing
        guard evidence.word == .growing, !isCounted, drafts[member].tallies != nil else { continue }
        count(report.sites[member].verdicts, of: drafts[member], in: &report)
      }
    }
  }

  /// What a site held through the run; nil when it never held memory when it was looked at.
  private func course(of draft: SiteDraft) -> SiteCourse? {
    guard let clock = snapshot.processes[draft.process].growthClock else { return nil }
    return snapshot.history?.series(sites: draft.sites, clock: clock)?.course
  }

  // MARK: Suppressions

  /// Whether suppression rules are to be tried on a site. Reachable blocks are no leaks; unless they are shown or grow, they
  /// get no names for this, because finding names for all of them would take long.
  private func canBeSuppressed(_ verdicts: [VerdictKind: Tally], isGrowing: Bool) -> Bool {
    suppressibleKinds(isGrowing: isGrowing).contains { (verdicts[$0]?.count ?? 0) > 0 }
  }

  private func suppressibleKinds(isGrowing: Bool) -> Set<VerdictKind> {
    var kinds: Set<VerdictKind> = [.definitelyLost, .indirectlyLost, .possiblyLost]
    if isGrowing || request.selection.kinds?.contains(.stillReachable) ?? true { kinds.insert(.stillReachable) }
    return kinds
  }

  private func suppress(
    in site: inout AllocationSite, isGrowing: Bool, by suppressions: inout Suppressions, _ report: inout Report
  ) {
    let removed = suppressions.suppress(in: &site, kinds: suppressibleKinds(isGrowing: isGrowing))
    guard let check = report.leakChecks.firstIndex(where: { $0.processID == site.processID }) else { return }
    for (kind, tally) in removed {
      report.leakChecks[check].kinds[kind, default: Tally()] -= tally
      report.leakChecks[check].suppressed += tally
    }
  }
}
