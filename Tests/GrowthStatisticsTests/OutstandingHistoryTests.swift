import Testing
import TraceModel

@testable import GrowthStatistics

@Suite struct OutstandingHistoryTests {
  static let second: UInt64 = 1_000_000_000

  /// One tick a window; `bytes` of site 0 by window.
  private func history(_ bytes: [UInt64], windowLength: UInt64 = second) -> OutstandingHistory {
    var history = OutstandingHistory(start: 0, siteCount: 2, windowLength: windowLength)
    for (window, bytes) in bytes.enumerated() {
      history.beginTick(at: UInt64(window) * windowLength + 1)
      history.record(site: 0, identity: 1, outstandingBytes: bytes, allocatedCount: UInt64(window + 1))
      history.endTick()
    }
    return history
  }

  private func series(_ history: OutstandingHistory, identity: UInt64 = 1, since: UInt64 = 0) throws
    -> OutstandingSeries?
  {
    let clock = try #require(history.clock(since: since))
    return history.series(sites: [(0, identity)], clock: clock)
  }

  @Test func keepsWhatItWasGiven() throws {
    let series = try #require(try series(history([10, 20, 0, 40])))
    #expect(series.bytes == [10, 20, 0, 40])
    #expect(series.seconds == [0.5, 1.5, 2.5, 3.5])
    #expect(series.birthWindows == 0b1111)
  }

  @Test func keepsTheLeastOfAWindow() throws {
    var history = OutstandingHistory(start: 0, siteCount: 2, windowLength: 10 * Self.second)
    for (tick, bytes) in [70, 30, 50].enumerated() {
      history.beginTick(at: UInt64(tick) * Self.second)
      history.record(site: 0, identity: 1, outstandingBytes: UInt64(bytes), allocatedCount: UInt64(tick + 1))
      history.endTick()
    }
    #expect(try series(history)?.bytes == [30])
    #expect(history.nextTick == 3 * Self.second)
  }

  @Test func windowsAreMergedWhenAllAreUsed() throws {
    let values = (0..<65).map { UInt64(1000 + $0) }
    let history = history(values)
    #expect(history.windowLength == 2 * Self.second)
    #expect(history.windowCount == 33)
    let series = try #require(try series(history))
    #expect(series.bytes == (0..<33).map { Double(1000 + 2 * $0) })
    #expect(series.seconds.first == 1)
  }

  @Test func aLongSilenceIsNoWindow() throws {
    var history = OutstandingHistory(start: 0, siteCount: 1, windowLength: Self.second)
    for time: UInt64 in [0, 1, 5, 400] {
      history.beginTick(at: time * Self.second)
      history.record(site: 0, identity: 1, outstandingBytes: time + 1, allocatedCount: 1)
      history.endTick()
    }
    // 400 s need windows of 8 s.
    #expect(history.windowLength == 8 * Self.second)
    #expect(try series(history)?.bytes == [1, 401])
    #expect(try series(history)?.seconds == [4, 404])
  }

  @Test func aSiteThatIsGoneHoldsNothing() throws {
    var history = history([5, 5])
    history.beginTick(at: 2 * Self.second)
    history.endTick()
    #expect(try series(history)?.bytes == [5, 5, 0])
  }

  @Test func anotherSiteInItsPlaceBeginsAnew() throws {
    var history = history([5, 5, 5])
    history.beginTick(at: 3 * Self.second)
    history.record(site: 0, identity: 9, outstandingBytes: 7, allocatedCount: 1)
    history.endTick()
    #expect(try series(history, identity: 9)?.bytes == [0, 0, 0, 7])
    #expect(try series(history, identity: 1) == nil)
  }

  @Test func sitesOfOneStackAreAddedUp() throws {
    var history = OutstandingHistory(start: 0, siteCount: 2, windowLength: Self.second)
    for tick: UInt64 in 0..<3 {
      history.beginTick(at: tick * Self.second)
      history.record(site: 0, identity: 1, outstandingBytes: 10, allocatedCount: 2)
      if tick > 0 { history.record(site: 1, identity: 2, outstandingBytes: 3, allocatedCount: tick) }
      history.endTick()
    }
    let clock = try #require(history.clock(since: 0))
    let series = try #require(history.series(sites: [(0, 1), (1, 2)], clock: clock))
    #expect(series.bytes == [10, 13, 13])
    #expect(series.birthWindows == 0b111)
  }

  /// A process that came later has only its own windows.
  @Test func aLaterProcess() throws {
    let history = history((0..<20).map { UInt64($0) })
    let clock = try #require(history.clock(since: 10 * Self.second))
    #expect(clock.windows == Array(10..<20))
    #expect(clock.run == 9 * Self.second + 1)
    #expect(clock.ages.startupEnd == 10 * Self.second + (9 * Self.second + 1) / 10)
    #expect(history.clock(since: 100 * Self.second) == nil)
  }

  /// 100 windows of 1 s: the youngest tenth are those after second 90.
  @Test func survivalLeavesTheYoungestTenthOut() throws {
    var history = OutstandingHistory(start: 0, siteCount: 1, windowLength: 2 * Self.second)
    for second: UInt64 in 0...100 {
      history.beginTick(at: second * Self.second)
      history.record(site: 0, identity: 1, outstandingBytes: 64, allocatedCount: second + 1)
      history.endTick()
    }
    let clock = try #require(history.clock(since: 0))
    #expect(clock.ages.oldEnd == 89 * Self.second)
    let series = try #require(history.series(sites: [(0, 1)], clock: clock))
    #expect(series.allocatedWithoutYoungest == 90)
    var survivors = Survivors()
    for second: UInt64 in 0...100 where second % 2 == 0 {
      survivors.add(bytes: 64, time: second * Self.second, ages: clock.ages)
    }
    let evidence = try #require(
      GrowthAnalysis.evidence(series: series, survivors: survivors, clock: clock, isTracedFromStart: true))
    #expect(evidence.survival == 0.5)
    #expect(evidence.windows == 51 && evidence.generationsAlive == 51)
  }

  /// Blocks are born in windows without a tick, and after the last one; survivors are counted only in windows that were
  /// looked at, so that there are never more of them than windows.
  @Test func survivorsAreNeverOfMoreWindowsThanThereAre() throws {
    var history = OutstandingHistory(start: 0, siteCount: 1, windowLength: Self.second)
    // The ticks of every third second are late by a window.
    for second: UInt64 in 0..<40 where second % 3 != 2 {
      history.beginTick(at: second * Self.second + 1)
      history.record(site: 0, identity: 1, outstandingBytes: 64 * (second + 1), allocatedCount: second + 1)
      history.endTick()
    }
    let clock = try #require(history.clock(since: 0))
    var series = try #require(history.series(sites: [(0, 1)], clock: clock))
    var survivors = Survivors()
    for second: UInt64 in 0..<60 { survivors.add(bytes: 64, time: second * Self.second, ages: clock.ages) }
    func evidence() throws -> GrowthEvidence {
      try #require(
        GrowthAnalysis.evidence(series: series, survivors: survivors, clock: clock, isTracedFromStart: false))
    }
    #expect(try evidence().windows == 27 && evidence().generationsAlive == 27)
    // A course that begins later has fewer windows, and what was born before it was first seen in its first.
    series.bytes.replaceSubrange(0..<10, with: repeatElement(0, count: 10))
    series.dropBeginning()
    #expect(try evidence().windows == 17 && evidence().generationsAlive == 17)
  }

  /// Whoever asks after five seconds gets a word, although the last tick was up to a window before.
  @Test func aRunOfFiveSecondsHasItsWord() throws {
    let window: UInt64 = 100_000_000
    var history = OutstandingHistory(start: 0, siteCount: 1, windowLength: window)
    for tick: UInt64 in 0...49 {
      history.beginTick(at: tick * window + 10_000_000)
      history.record(site: 0, identity: 1, outstandingBytes: 52_429 * (tick + 1), allocatedCount: tick + 1)
      history.endTick()
    }
    let clock = try #require(history.clock(since: 0))
    #expect(clock.run < 5 * Self.second)
    let series = try #require(history.series(sites: [(0, 1)], clock: clock))
    var survivors = Survivors()
    for tick: UInt64 in 0...49 { survivors.add(bytes: 52_429, time: tick * window, ages: clock.ages) }
    let evidence = try #require(
      GrowthAnalysis.evidence(series: series, survivors: survivors, clock: clock, isTracedFromStart: false))
    #expect(evidence.word == .growing)
  }

  /// What a site held at most, and of which windows survivors are sure to have been there then.
  @Test func peakBeforeAllIsFreed() throws {
    var history = OutstandingHistory(start: 0, siteCount: 2, windowLength: Self.second)
    for window in 0..<20 {
      let isGone = window == 19
      history.beginTick(at: UInt64(window) * Self.second + 1)
      history.record(
        site: 0, identity: 1, outstandingBytes: isGone ? 0 : UInt64(10 * (window + 1)),
        allocatedCount: UInt64(window + 1), freedCount: isGone ? 20 : 0)
      // Two blocks a window of which one is freed: any of those that are left may be of the last windows.
      history.record(
        site: 1, identity: 1, outstandingBytes: isGone ? 0 : UInt64(10 * (window + 1)),
        allocatedCount: UInt64(2 * (window + 1)), freedCount: isGone ? 40 : UInt64(window + 1))
      history.endTick()
    }
    let peak = try #require(history.peak(sites: [(0, 1)]))
    #expect(peak == SitePeak(time: 18 * Self.second + 1, bytes: 190, freedCount: 0))
    #expect(history.peak(sites: [(0, 3)]) == nil)
    let clock = try #require(history.clock(since: 0, until: peak.time))
    let sure = history.certainSurvivors(sites: [(0, 1)], at: peak, clock: clock)
    #expect(sure.count == 19 && sure.bytes == 190 && sure.windows == (1 << 19) - 1)
    let churning = try #require(history.peak(sites: [(1, 1)]))
    #expect(churning.freedCount == 19)
    #expect(history.certainSurvivors(sites: [(1, 1)], at: churning, clock: clock).windows == 0)
    let evidence = GrowthAnalysis.evidence(
      series: try #require(history.series(sites: [(0, 1)], clock: clock)), survivors: sure, clock: clock,
      isTracedFromStart: true)
    #expect(evidence?.word == .growing)
    #expect(SitePeak.wasLately(peak.time, before: 20 * Self.second, run: 20 * Self.second))
    #expect(!SitePeak.wasLately(peak.time, before: 30 * Self.second, run: 30 * Self.second))
  }
}
