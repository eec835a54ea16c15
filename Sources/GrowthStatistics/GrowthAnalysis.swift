import Glibc
import TraceModel

/// Judges whether a site grows, from what it held over time and from the ages of what it holds now.
///
/// Neither is enough by itself. A slope alone takes the filling of a cache, the rising half of a saw's tooth and the
/// wandering of a queue for a leak. Ages alone take a pool of long-lived objects for one. A leak has both: it rises
/// through the whole run, and of each stretch of the run something stayed. Where the two do not agree the word is
/// `unclear`.
package enum GrowthAnalysis {
  /// The fewest windows, and the shortest run, of which anything is said: start-up looks like growth.
  package static let minimumWindows = 12
  package static let minimumRunInNanoseconds: UInt64 = 5_000_000_000
  package static let confidence = 0.95

  private static let survivorsNeeded = 6.0
  /// Survivors of a leak are born in most of these equal stretches of the run.
  private static let stretches = 8
  private static let stretchesNeeded = 5
  private static let spreadNeeded = 0.6
  /// How far a level may move in half a run, as a part of itself.
  private static let levelTolerance = 0.1

  /// - Parameter isTracedFromStart: whether the beginning of the trace is the beginning of the program.
  /// - Returns: nil when there are too few windows for any slope.
  package static func evidence(
    series: OutstandingSeries, survivors: Survivors, clock: GrowthClock, isTracedFromStart: Bool
  ) -> GrowthEvidence? {
    guard let whole = TrendLine(x: series.seconds, y: series.bytes) else { return nil }
    let alive = clock.observed(survivors.windows, inLast: series.bytes.count)
    var evidence = GrowthEvidence(
      word: .unclear, slopeInBytesPerSecond: whole.slope, lowerSlope: whole.lower, upperSlope: whole.upper,
      confidence: confidence, windows: series.bytes.count,
      generationsAlive: alive.nonzeroBitCount,
      survival: series.allocatedWithoutYoungest > 0
        ? min(1, survivors.oldCount / series.allocatedWithoutYoungest) : nil)
    guard series.bytes.count >= minimumWindows, clock.runWithRest >= minimumRunInNanoseconds else { return evidence }
    let middle = series.bytes.count / 2
    guard let early = Half(series, 0..<middle), let late = Half(series, middle..<series.bytes.count) else {
      return evidence
    }
    let ages = Ages(alive, survivors.count, series.birthWindows, clock)
    if isGrowing(whole, early, late, survivors, ages) {
      evidence.word = .growing
    } else if late.level > 0, late.isLevel || turnsOver(whole, survivors, ages, evidence.survival) {
      let isFromStart = isTracedFromStart && survivors.startupBytes >= 0.9 * survivors.bytes && survivors.bytes > 0
      evidence.word = isFromStart ? .startup : .plateau
    }
    return evidence
  }

  /// Whether a site can be found to be growing, by what it holds now alone: far cheaper than the evidence itself.
  package static func canBeGrowing(_ survivors: Survivors) -> Bool {
    survivors.count >= survivorsNeeded && survivors.windows.nonzeroBitCount >= stretchesNeeded
  }

  /// One half of a run.
  private struct Half {
    var trend: TrendLine
    /// The same line with an interval of 80 %: half a run has so few points that a slow leak is seldom surer.
    var likely: TrendLine
    var level: Double
    var seconds: Double

    init?(_ series: OutstandingSeries, _ range: Range<Int>) {
      let x = Array(series.seconds[range])
      let y = Array(series.bytes[range])
      guard let trend = TrendLine(x: x, y: y, allowsForMemory: false),
        let likely = TrendLine(x: x, y: y, deviations: 1.281552, allowsForMemory: false)
      else { return nil }
      self.trend = trend
      self.likely = likely
      var sorted = y
      level = sorted.selected(y.count / 2)
      seconds = x[x.count - 1] - x[0]
    }

    /// Whether it surely moved by less than a tenth of what it is.
    var isLevel: Bool {
      let allowed = GrowthAnalysis.levelTolerance * level
      return trend.upper * seconds <= allowed && trend.lower * seconds >= -allowed
    }
  }

  /// When the survivors were born.
  private struct Ages {
    /// In how many of the equal stretches of the run survivors were born.
    var stretchesAlive: Int
    /// In how many of the windows in which any were born, as a part of how many there would be if as many survivors were
    /// spread over those windows at random: 1 for a leak, whether steady or in bursts.
    var spread: Double
    /// Whether no survivor was born in the first half of the run.
    var areAllLate: Bool

    /// - Parameters:
    ///   - born: a bit for each window in which survivors were born.
    ///   - count: how many survivors there are.
    ///   - births: a bit for each window in which any block was born.
    init(_ born: UInt64, _ count: Double, _ births: UInt64, _ clock: GrowthClock) {
      let first = clock.windows.first ?? 0
      let length = (clock.windows.last ?? 0) - first + 1
      var alive: UInt64 = 0
      for window in 0..<OutstandingHistory.maximumWindows where born >> UInt64(window) & 1 == 1 {
        let place = min(max(0, window - first), length - 1)
        alive |= 1 << UInt64(place * GrowthAnalysis.stretches / length)
      }
      stretchesAlive = alive.nonzeroBitCount
      let windows = Double((births | born).nonzeroBitCount)
      let expected = windows * (1 - pow(1 - 1 / windows, count))
      spread = expected > 0 ? Double(born.nonzeroBitCount) / expected : 0
      areAllLate = alive & ((1 << UInt64(GrowthAnalysis.stretches / 2)) - 1) == 0
    }
  }

  private static func isGrowing(
    _ whole: TrendLine, _ early: Half, _ late: Half, _ survivors: Survivors, _ ages: Ages
  ) -> Bool {
    // A cache that fills rises ever more slowly.
    let slowsDown = late.trend.slope < 0.5 * early.trend.slope && late.likely.upper < early.likely.lower
    // It surely rises through the run, still does in its second half, and something of each time stays.
    return whole.lower > 0 && late.likely.lower > 0 && late.trend.slope >= 0.4 * whole.slope && !slowsDown
      && survivors.count >= survivorsNeeded && ages.stretchesAlive >= stretchesNeeded && ages.spread >= spreadNeeded
  }

  /// Whether it surely does not rise and everything that it holds was born lately: what it allocates is given back.
  private static func turnsOver(
    _ whole: TrendLine, _ survivors: Survivors, _ ages: Ages, _ survival: Double?
  ) -> Bool {
    guard let survival, survivors.count > 0 else { return false }
    return whole.lower <= 0 && ages.areAllLate && survival < 0.5
  }
}
