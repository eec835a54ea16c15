import Glibc
import TestTools

@testable import GrowthStatistics
@testable import TraceModel

/// A site made up for tests: blocks with their times of birth and death, from which the history that a trace would
/// have recorded is played, tick by tick.
struct SyntheticWorkload {
  struct Block {
    /// Seconds from the beginning of the run.
    var birth: Double
    /// Infinite for a block that is never freed.
    var death: Double
    var size: Double
  }

  /// Seconds.
  var run: Double
  var blocks: [Block] = []
  var isTracedFromStart = true
  var random: SplitMix64

  init(run: Double, seed: UInt64) {
    self.run = run
    random = SplitMix64(state: seed)
  }

  mutating func uniform() -> Double { Double.random(in: 0..<1, using: &random) }
  mutating func exponential(mean: Double) -> Double { -log(1 - uniform()) * mean }

  mutating func add(at birth: Double, until death: Double = .infinity, size: Double = 64) {
    if birth < run { blocks.append(Block(birth: birth, death: death, size: size)) }
  }

  /// Births at random times, `rate` a second on average.
  mutating func arrivals(
    rate: Double, from start: Double = 0, to end: Double? = nil,
    _ body: (inout SyntheticWorkload, _ time: Double) -> Void
  ) {
    var time = start
    while true {
      time += exponential(mean: 1 / rate)
      guard time < end ?? run else { return }
      body(&self, time)
    }
  }

  /// What the analysis says at the end of the run.
  func evidence() -> GrowthEvidence? {
    let origin: UInt64 = 5_000_000_000_000
    func moment(_ seconds: Double) -> UInt64 { origin + UInt64(seconds * 1e9) }
    var events: [(time: Double, bytes: Double, births: UInt64)] = []
    for block in blocks {
      events.append((block.birth, block.size, 1))
      if block.death < run { events.append((block.death, -block.size, 0)) }
    }
    events.sort { $0.time < $1.time }
    var history = OutstandingHistory(start: origin, siteCount: 8)
    var next = 0
    var bytes = 0.0
    var births: UInt64 = 0
    while history.nextTick <= moment(run) {
      let now = history.nextTick
      while next < events.count, moment(events[next].time) <= now {
        bytes += events[next].bytes
        births += events[next].births
        next += 1
      }
      history.beginTick(at: now)
      history.record(site: 3, identity: 7, outstandingBytes: UInt64(max(0, bytes)), allocatedCount: births)
      history.endTick()
    }
    guard let clock = history.clock(since: origin),
      let series = history.series(sites: [(3, 7)], clock: clock)
    else { return nil }
    var survivors = Survivors()
    for block in blocks where block.death >= run {
      survivors.add(bytes: block.size, time: moment(block.birth), ages: clock.ages)
    }
    return GrowthAnalysis.evidence(
      series: series, survivors: survivors, clock: clock, isTracedFromStart: isTracedFromStart)
  }
}
