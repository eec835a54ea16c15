import CTraceABI
import GrowthStatistics
import LeakAnalysis
import ReportAnalysis
import TraceModel

/// What grew until its process ended, and was freed there: a container that is destroyed at exit. Nothing of it is left when the
/// process is looked at for the last time, and it would have gone on growing.
extension ReportBuilder {
  /// Adds the stacks of which that is sure, or says it of those that are in the report with a rest.
  func addDestroyedSites(_ drafts: [SiteDraft], to report: inout Report) {
    let missing = MissingRecords(report)
    guard missing.supported(.growing) == .growing else { return }
    var added = 0
    for draft in drafts {
      guard let (evidence, held) = growthBeforeEnd(of: draft) else { continue }
      var site = site(from: draft)
      if let known = report.sites.firstIndex(where: { $0.processID == site.processID && $0.stack == site.stack }) {
        guard report.sites[known].growth?.word != .growing else { continue }
        (report.sites[known].growth, report.sites[known].heldBeforeEnd) = (evidence, held)
      } else {
        if let limit = request.limit, report.sites.count >= limit { continue }
        added += 1
        if added > SiteCourse.maximumSites { break }
        site.verdicts = [:]
        (site.growth, site.heldBeforeEnd) = (evidence, held)
        site.course = snapshot.processes[draft.process].growthClock.flatMap {
          snapshot.history?.series(sites: draft.sites, clock: $0)?.course
        }
        report.sites.append(site)
      }
      if let check = report.leakChecks.firstIndex(where: { $0.processID == site.processID }) {
        var sum = report.leakChecks[check].growing ?? Tally()
        sum += held
        report.leakChecks[check].growing = sum
      }
    }
  }

  /// Evidence that a stack of an ended process grew until shortly before its end, with what it held then; nil where that is not
  /// sure, or where it is still there.
  private func growthBeforeEnd(of draft: SiteDraft) -> (GrowthEvidence, Tally)? {
    let process = snapshot.processes[draft.process]
    guard let end = process.endTime, process.isTarget || request.includesEnded, let history = snapshot.history,
      let peak = history.peak(sites: draft.sites),
      Double(draft.sums.outstanding.bytes) < peak.bytes / 10
    else { return nil }
    // What was freed long before the end was not freed by ending.
    guard SitePeak.wasLately(peak.time, before: end, run: end - min(end, process.beginTime)),
      let clock = history.clock(since: process.beginTime, until: peak.time),
      var series = history.series(sites: draft.sites, clock: clock)
    else { return nil }
    let survivors = history.certainSurvivors(sites: draft.sites, at: peak, clock: clock)
    let unit = draft.key.allocationClass == .heap ? Double(UInt64(1) << UInt64(LT_COUNT_UNIT_SHIFT)) : 1
    series.allocatedWithoutYoungest /= unit
    let evidence = GrowthAnalysis.evidence(
      series: series, survivors: survivors.inUnits(of: unit), clock: clock,
      isTracedFromStart: process.isTracedFromStart)
    guard var evidence, evidence.word == .growing else { return nil }
    // How many of the old ones were left is not known.
    evidence.survival = nil
    return (
      evidence, Tally(bytes: UInt64(max(0, min(peak.bytes, 9e18))), count: UInt64(max(1, survivors.count / unit)))
    )
  }
}
