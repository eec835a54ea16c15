import Glibc

/// A robust straight line through a series: the median of the slopes of all pairs of points (Theil 1950, Sen 1968),
/// which a few outliers do not move, with an interval for the slope.
///
/// The interval is Sen's, from Kendall's rank statistic. Its variance is that of independent points; outstanding memory
/// has a memory of its own, and a queue whose length wanders seems to have a trend. Hence the variance is widened as for
/// a first-order autoregressive series. That leaves nothing of a leak that wanders too, because its blocks come at
/// random; there the interval is that of the mean change from point to point, which for a wandering series is exact.
package struct TrendLine: Hashable, Sendable {
  /// In units of y per unit of x.
  package var slope: Double
  /// Infinite where the series does not bound the slope at this confidence.
  package var lower: Double
  package var upper: Double

  /// - Parameters:
  ///   - x: rising.
  ///   - deviations: half the width of the interval in standard deviations: 1.96 for 95 %.
  ///   - allowsForMemory: whether neighbouring points depend on each other.
  /// - Returns: nil for fewer than 3 points.
  package init?(x: [Double], y: [Double], deviations: Double = 1.959964, allowsForMemory: Bool = true) {
    guard var slopes = PairwiseSlopes(x: x, y: y) else { return nil }
    slope = slopes.median
    // Most sites do not change at all.
    if slopes.areAllZero {
      lower = 0
      upper = 0
      return
    }
    var variance = Self.kendallVariance(of: y)
    var drift: ClosedRange<Double>?
    if allowsForMemory {
      let slope = slope
      let inflation = Self.inflation(zip(x, y).map { $1 - slope * $0 }, scale: y.greatestMagnitude)
      variance *= inflation
      // A few points do not tell how alike neighbours are.
      if inflation > Self.wandering || x.count < Self.few { drift = Self.drift(x: x, y: y, deviations: deviations) }
      if inflation > Self.wandering, let drift {
        lower = min(drift.lowerBound, slope)
        upper = max(drift.upperBound, slope)
        return
      }
    }
    let interval = slopes.interval(width: deviations * variance.squareRoot())
    lower = min(interval.lower, drift?.lowerBound ?? .infinity)
    upper = max(interval.upper, drift?.upperBound ?? -.infinity)
  }

  /// Above this, where neighbours are alike with r = 0.6, a series counts as one that wanders.
  private static let wandering = 4.0
  private static let few = 32

  /// Variance of Kendall's statistic where there is no trend, with the correction for equal values (Sen 1968).
  private static func kendallVariance(of y: [Double]) -> Double {
    func term(_ count: Double) -> Double { count * (count - 1) * (2 * count + 5) }
    var variance = term(Double(y.count))
    let sorted = y.sorted()
    var start = 0
    for index in 1...sorted.count where index == sorted.count || sorted[index] != sorted[start] {
      variance -= term(Double(index - start))
      start = index
    }
    return max(0, variance / 18)
  }

  /// The factor by which a variance grows because neighbours are alike:  (1 + r) / (1 − r) for a first-order
  /// autoregressive series, r corrected for its bias in short series. At least 1.
  private static func inflation(_ values: [Double], scale: Double) -> Double {
    let count = values.count
    guard count > 5 else { return 1 }
    let mean = values.mean
    let square = values.sumOfSquares(around: mean)
    // Residuals of rounding alone say nothing of memory.
    guard square > scale * scale * 1e-12 * Double(count) else { return 1 }
    var product = 0.0
    for index in 1..<count { product += (values[index] - mean) * (values[index - 1] - mean) }
    let corrected = min(0.98, (Double(count) * product / square + 2) / Double(count - 4))
    return max(1, (1 + corrected) / (1 - corrected))
  }

  /// Interval of the mean change per unit of x. The greatest single change is left out: a start-up or a flush.
  private static func drift(x: [Double], y: [Double], deviations: Double) -> ClosedRange<Double>? {
    var changes: [Double] = []
    for index in 1..<x.count { changes.append((y[index] - y[index - 1]) / (x[index] - x[index - 1])) }
    guard changes.count >= 8, let greatest = changes.indices.max(by: { abs(changes[$0]) < abs(changes[$1]) })
    else { return nil }
    changes.remove(at: greatest)
    let count = Double(changes.count)
    let mean = changes.mean
    let variance = changes.sumOfSquares(around: mean) / (count - 1)
    // A leak that becomes faster must not be taken for a series whose neighbours are alike.
    let widened: Double = variance * inflation(changes.withoutTrend, scale: changes.greatestMagnitude)
    // 1 + 1.35/n brings the normal distribution's quantile near enough to that of Student's t.
    let quantile: Double = deviations * (1 + 1.35 / count)
    let width: Double = quantile * (widened / count).squareRoot()
    return mean - width...mean + width
  }
}

/// The slopes between all pairs of points.
private struct PairwiseSlopes {
  private var values: [Double] = []
  let median: Double
  let areAllZero: Bool

  init?(x: [Double], y: [Double]) {
    let count = x.count
    guard count >= 3, y.count == count else { return nil }
    areAllZero = y.allSatisfy { $0 == y[0] }
    if areAllZero {
      median = 0
      return
    }
    values.reserveCapacity(count * (count - 1) / 2)
    for first in 0..<count {
      for second in first + 1..<count { values.append((y[second] - y[first]) / (x[second] - x[first])) }
    }
    let half = values.count / 2
    let middle = values.selected(half)
    // No value before the selected place is greater.
    median = values.count % 2 == 1 ? middle : (middle + values[..<half].max()!) / 2
  }

  /// The slopes between which the statistic has the given width.
  mutating func interval(width: Double) -> (lower: Double, upper: Double) {
    if width == 0 { return (median, median) }
    let count = Double(values.count)
    let below = ((count - width) / 2).rounded(.down)
    let above = ((count + width) / 2).rounded(.up)
    return (
      below < 1 ? -.infinity : values.selected(Int(below) - 1),
      above + 1 > count ? .infinity : values.selected(Int(above))
    )
  }
}

extension Array where Element == Double {
  fileprivate var mean: Double { reduce(0, +) / Double(count) }
  fileprivate var greatestMagnitude: Double { reduce(0) { Swift.max($0, abs($1)) } }

  /// What is left beside the line of least squares over the places.
  fileprivate var withoutTrend: [Double] {
    let middle = Double(count - 1) / 2
    var product = 0.0
    var square = 0.0
    for (place, value) in enumerated() {
      product += (Double(place) - middle) * value
      square += (Double(place) - middle) * (Double(place) - middle)
    }
    return enumerated().map { $1 - product / square * (Double($0) - middle) }
  }

  fileprivate func sumOfSquares(around center: Double) -> Double {
    var sum = 0.0
    for value in self { sum += (value - center) * (value - center) }
    return sum
  }

  /// The element that would be at `place` if the array were sorted; partly sorts the array so that it is there, nothing
  /// before it greater and nothing behind it less (Hoare's quickselect, the middle of three as pivot).
  mutating func selected(_ place: Int) -> Double {
    withUnsafeMutableBufferPointer { values in
      var low = 0
      var high = values.count - 1
      while low < high {
        let middle = (low + high) / 2
        if values[middle] < values[low] { values.swapAt(middle, low) }
        if values[high] < values[low] { values.swapAt(high, low) }
        if values[high] < values[middle] { values.swapAt(high, middle) }
        let pivot = values[middle]
        var left = low
        var right = high
        while left <= right {
          while values[left] < pivot { left += 1 }
          while pivot < values[right] { right -= 1 }
          if left <= right {
            values.swapAt(left, right)
            left += 1
            right -= 1
          }
        }
        if place <= right {
          high = right
        } else if place >= left {
          low = left
        } else {
          break
        }
      }
      return values[place]
    }
  }
}
