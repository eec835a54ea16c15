import Accounting
import CTraceABI
import GrowthStatistics
import Quantities
import SystemSupport
import TraceModel

extension AllocationTracer {
  /// Notes what every site holds, when the next tick is due.
  func recordGrowth() {
    guard startTime != 0 else { return }
    let now = monotonicNanoseconds()
    if history == nil { history = OutstandingHistory(start: startTime, siteCount: 2 * tables.sites.count) }
    guard now >= history!.nextTick else { return }
    history!.beginTick(at: now)
    var whole = Tally()
    tables.sites.forEachSite { record in
      guard record.site.allocated_count > 0 else { return }
      whole += Tally(bytes: record.outstandingBytes, count: record.outstandingCount)
      // Another site of the same process and stack would have the same key.
      history!.record(
        site: record.index, identity: record.identity, outstandingBytes: record.outstandingBytes,
        allocatedCount: record.site.allocated_count)
    }
    for process in processes where process.state == .running {
      for (site, totals) in process.ledger.totals where totals.allocated.count > 0 {
        whole.bytes &+= totals.allocated.bytes - totals.freed.bytes
        whole.count &+= totals.allocated.count - totals.freed.count
        history!.record(
          site: tables.sites.count + Int(site), identity: tables.sites.site(at: Int(site)).key | 1,
          outstandingBytes: totals.allocated.bytes - totals.freed.bytes, allocatedCount: totals.allocated.count)
      }
    }
    history!.endTick()
    if configuration.isSampling { whole.count >>= UInt64(LT_COUNT_UNIT_SHIFT) }
    addMoment(whole, at: now)
  }

  /// Half of the moments go when there are too many: those that are left are as far apart again as before.
  private func addMoment(_ outstanding: Tally, at time: UInt64) {
    let elapsed = time - startTime
    if let last = timeline.last, elapsed - UInt64(max(0, last.elapsed.inNanoseconds)) < momentDistance { return }
    timeline.append(Report.Moment(elapsed: .nanoseconds(Int64(elapsed)), outstanding: outstanding))
    if timeline.count > Self.maximumMoments {
      timeline = timeline.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      momentDistance = max(momentDistance * 2, 200_000_000)
    }
  }

  private static let maximumMoments = 240

  /// Divides the run of every process into windows, for the report that is being made.
  func setGrowthClocks() {
    for process in processes {
      process.growthClock = history?.clock(since: process.beginTime, until: process.endTime)
    }
  }

  /// Whether a site grows; nil when it held memory too shortly to say anything.
  func growth(of draft: SiteDraft) -> GrowthEvidence? {
    guard let survivors = draft.sums.survivors, let clock = draft.process.growthClock else { return nil }
    let offset = draft.key.allocationClass == .mapping ? tables.sites.count : 0
    let sites = draft.sites.map { (index: offset + $0, identity: tables.sites.site(at: $0).key | 1) }
    guard var series = history?.series(sites: sites, clock: clock) else { return nil }
    if configuration.isSampling, draft.key.allocationClass == .heap {
      series.allocatedWithoutYoungest /= Double(UInt64(1) << UInt64(LT_COUNT_UNIT_SHIFT))
    }
    return GrowthAnalysis.evidence(
      series: series, survivors: survivors, clock: clock, isTracedFromStart: draft.process.isTracedFromStart)
  }
}
