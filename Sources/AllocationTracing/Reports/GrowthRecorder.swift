import Accounting
import CTraceABI
import GrowthStatistics
import LeakAnalysis
import ProcessImage
import Quantities
import TraceModel

/// What every site and the whole trace held over time. In the history, heap sites have the index of the kernel's table; the
/// mappings of the same sites follow behind all heap sites.
struct GrowthRecorder {
  private(set) var history: OutstandingHistory
  /// What was outstanding, at moments at least `momentDistance` nanoseconds apart.
  private(set) var timeline: [Report.Moment] = []
  private var momentDistance: UInt64 = 0
  private let start: UInt64
  private let siteCapacity: Int

  private static let maximumMoments = 240
  /// More processes than these have no resident memory in the timeline: reading it takes microseconds for each.
  private static let maximumProcesses = 64

  /// - Parameters:
  ///   - start: beginning of the trace, CLOCK_MONOTONIC nanoseconds.
  ///   - siteCapacity: number of places in the kernel's table of sites.
  init(start: UInt64, siteCapacity: Int) {
    self.start = start
    self.siteCapacity = siteCapacity
    history = OutstandingHistory(start: start, siteCount: 2 * siteCapacity)
  }

  /// Whether it is time for the next tick.
  func isDue(at now: UInt64) -> Bool { now >= history.nextTick }

  /// Notes what every site holds.
  ///
  /// - Parameter processes: those of the trace that reports count, too; what others hold is not in the timeline.
  mutating func record(_ sites: SiteTable<lt_site>, processes: [TracedProcess], now: UInt64) {
    history.beginTick(at: now)
    var whole = Tally()
    // Sites stay in the table when their process has ended or runs another program.
    var counted: [UInt32: UInt32] = [:]
    for process in processes { counted[process.slot] = process.generation }
    sites.forEachSite { record in
      guard record.site.allocated_count > 0 else { return }
      if counted[UInt32(record.site.process_slot)] == record.site.process_generation {
        whole += Tally(bytes: record.outstandingBytes, count: wholeBlocks(ofUnits: record.outstandingCount))
      }
      // The identity tells sites apart that have the same place in turn. Only one of the same process and stack has the same
      // key.
      history.record(
        site: record.index, identity: record.identity, outstandingBytes: record.outstandingBytes,
        allocatedCount: record.site.allocated_count, freedCount: record.site.freed_count)
    }
    for process in processes {
      let stacks = process.image.threadStackSites
      for (site, totals) in process.image.ledger.totals where totals.allocated.count > 0 && !stacks.contains(site) {
        let outstanding = process.image.ledger.outstanding(of: site)
        whole += outstanding
        history.record(
          site: siteCapacity + Int(site),
          identity: SiteRecord(index: Int(site), site: sites.site(at: Int(site))).identity,
          outstandingBytes: outstanding.bytes, allocatedCount: totals.allocated.count,
          freedCount: totals.allocated.count - min(totals.allocated.count, outstanding.count))
      }
    }
    history.endTick()
    addMoment(whole, processes, at: now)
  }

  /// Adds a moment to the timeline. When there are too many, every other one is dropped, and those that follow keep twice
  /// the distance.
  private mutating func addMoment(_ outstanding: Tally, _ processes: [TracedProcess], at time: UInt64) {
    let elapsed = time - start
    if let last = timeline.last, elapsed - UInt64(max(0, last.elapsed.inNanoseconds)) < momentDistance { return }
    timeline.append(
      Report.Moment(
        elapsed: .nanoseconds(Int64(elapsed)), outstanding: outstanding, residentBytes: residentBytes(of: processes)))
    if timeline.count > Self.maximumMoments {
      timeline = timeline.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      momentDistance = max(momentDistance * 2, 200_000_000)
    }
  }

  /// Resident memory of the running processes together; nil where they are too many to be read in passing, and when none
  /// runs.
  private func residentBytes(of processes: [TracedProcess]) -> UInt64? {
    let running = processes.filter { $0.state == .running }
    guard !running.isEmpty, running.count <= Self.maximumProcesses else { return nil }
    return running.reduce(0) { $0 &+ (ProcessInfo.residentBytes(of: $1.processID) ?? 0) }
  }
}
