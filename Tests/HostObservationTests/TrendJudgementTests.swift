import Glibc
import HostObservation
import TestTools
import Testing

@Suite struct TrendJudgementTests {
  /// A series whose truth is known.
  private struct Known {
    var name: String
    var grows: Bool
    var bytes: [Double]
  }

  private static let mebibyte = 1048576.0

  /// The judgement of samples a second apart, as an observation would give them.
  private func judge(_ bytes: [Double]) -> TrendJudgement {
    var history = SizeHistory(time: 100, windowLength: 1, longestWindow: 1e6)
    for (second, value) in bytes.enumerated() { history.record(UInt64(max(0, value)), at: 100 + Double(second)) }
    return TrendJudgement(history.points)
  }

  @Test func recognizesGrowthInSeriesOfKnownTruth() {
    var truePositives = 0
    var falsePositives = 0
    var falseNegatives = 0
    let perSeed = Self.series(seed: 1).count
    #expect(perSeed >= 50)
    for series in (1...10).flatMap({ Self.series(seed: $0) }) {
      let judgement = judge(series.bytes)
      switch (series.grows, judgement.word == .growing) {
      case (true, true): truePositives += 1
      case (true, false):
        falseNegatives += 1
        print("missed: \(series.name): \(judgement.word)")
      case (false, true):
        falsePositives += 1
        print("false alarm: \(series.name): \(judgement.slope) bytes per second")
      case (false, false): break
      }
    }
    let precision = Double(truePositives) / Double(truePositives + falsePositives)
    let recall = Double(truePositives) / Double(truePositives + falseNegatives)
    print("trends: \(perSeed) series of 10 seeds, precision \(precision), recall \(recall)")
    #expect(precision >= 0.97)
    #expect(recall >= 0.95)
  }

  /// What is called growing has an interval that lies above 0.
  @Test func noGrowthForAnIntervalThatSpansZero() {
    for seed in 1...20 as ClosedRange<UInt64> {
      for series in Self.series(seed: seed) {
        let judgement = judge(series.bytes)
        if judgement.word == .growing {
          #expect(judgement.lowerSlope > 0 && judgement.lowerSlope <= judgement.slope, "\(series.name), seed \(seed)")
          #expect(judgement.upperSlope >= judgement.slope, "\(series.name), seed \(seed)")
        }
      }
    }
  }

  @Test func measuresTheSlope() {
    let judgement = judge((0..<120).map { 50 * Self.mebibyte + Double($0) * 100_000 })
    #expect(judgement.word == .growing)
    #expect(abs(judgement.slope - 100_000) < 1000)
    #expect(judgement.lowerSlope <= judgement.slope && judgement.slope <= judgement.upperSlope)
  }

  @Test func tellsTheOtherCourses() {
    let level = 50 * Self.mebibyte
    #expect(judge([Double](repeating: level, count: 60)).word == .steady)
    #expect(judge((0..<60).map { level + ($0 < 30 ? 0 : 20 * Self.mebibyte) }).word == .step)
    #expect(judge((0..<60).map { level - Double($0) * 300_000 }).word == .falling)
    #expect(judge((0..<5).map { level + Double($0) * 300_000 }).word == .tooShort)
  }

  @Test func findsGrowthThatBeganLately() {
    let judgement = judge((0..<120).map { 50 * Self.mebibyte + Double(max(0, $0 - 80)) * 500_000 })
    #expect(judgement.word == .growing)
    #expect(judgement.since > 150)
    #expect(abs(judgement.slope - 500_000) < 50_000)
  }

  // MARK: The series

  private static func series(seed: UInt64) -> [Known] {
    var random = SplitMix64(state: seed)
    func noise(_ size: Double) -> Double {
      // Nearly normal: the sum of 12 uniform numbers.
      (0..<12).reduce(-6.0) { sum, _ in sum + Double.random(in: 0..<1, using: &random) } * size
    }
    var result: [Known] = []
    func add(_ name: String, _ grows: Bool, count: Int = 120, _ value: (Int) -> Double) {
      result.append(Known(name: name, grows: grows, bytes: (0..<count).map(value)))
    }
    let mib = mebibyte
    for level in [1, 64, 4096] {
      let base = Double(level) * mib
      add("flat \(level)", false) { _ in base }
      add("noise \(level)", false) { _ in base + noise(base / 50) }
      add("noise in short \(level)", false, count: 30) { _ in base + noise(base / 20) }
      add("growth \(level)", true) { base + Double($0) * base / 400 + Double($0) * 4096 }
      add("growth with noise \(level)", true) { base + Double($0) * base / 100 + Double($0) * 4096 + noise(base / 30) }
      add("growth in 60 s \(level)", true, count: 60) { base + Double($0) * (base / 150 + 20000) }
    }
    for period in [2, 5, 8, 17, 25, 40] {
      add("sawtooth of \(period)", false) { 100 * mib + Double($0 % period) * 40 * mib / Double(period) }
      add("collections of \(period) over a leak", true) {
        100 * mib + Double($0 % period) * 20 * mib / Double(period) + Double($0) * 0.6 * mib
      }
    }
    for place in [15, 40, 60, 90, 110] {
      add("step at \(place)", false) { 100 * mib + ($0 < place ? 0 : 30 * mib) + noise(0.1 * mib) }
    }
    add("two steps", false) { 100 * mib + ($0 < 30 ? 0 : 20 * mib) + ($0 < 50 ? 0 : 10 * mib) }
    add("step up and down", false) { 100 * mib + ($0 < 40 || $0 > 80 ? 0 : 30 * mib) }
    for seconds in [4.0, 10, 25] {
      add("start-up of \(seconds) s", false) { 100 * mib * (1 - exp(-Double($0) / seconds)) + noise(0.05 * mib) }
    }
    add("cache that fills", false) { min(Double($0), 50) * mib }
    add("cache that fills half-way", false) { 10 * mib + min(Double($0), 70) * 0.5 * mib + noise(0.1 * mib) }
    for stairs in [6, 10, 20] {
      add("growth in steps of \(stairs)", true) { 100 * mib + Double($0 / stairs) * 3 * mib }
    }
    for place in [40, 60, 80] {
      add("leak from \(place) on", true) { 100 * mib + Double(max(0, $0 - place)) * 0.5 * mib + noise(0.05 * mib) }
    }
    for cycles in [2.0, 3, 5, 8] {
      add("\(cycles) daily cycles", false, count: 192) {
        200 * mib + 50 * mib * sin(Double($0) / 192 * cycles * 2 * .pi) + noise(mib)
      }
      add("\(cycles) daily cycles over a leak", true, count: 192) {
        200 * mib + 10 * mib * sin(Double($0) / 192 * cycles * 2 * .pi) + Double($0) * mib
      }
    }
    for run in 0..<6 {
      var wandering = 100 * mib
      add("wandering \(run)", false) { _ in
        wandering += noise(0.5 * mib)
        return wandering
      }
    }
    add("falling", false) { 200 * mib - Double($0) * mib }
    add("bursts", false) { 50 * mib + ($0 % 31 == 7 ? 80 * mib : 0) + noise(0.2 * mib) }
    add("one burst at the end", false) { 50 * mib + ($0 > 116 ? 80 * mib : 0) }
    add("growth that accelerates", true) { 50 * mib + Double($0 * $0) * 8192 }
    add("growth with bursts", true) { 50 * mib + Double($0) * 0.3 * mib + ($0 % 23 == 5 ? 60 * mib : 0) }
    return result
  }
}
