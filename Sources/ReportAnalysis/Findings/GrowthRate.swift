import TraceModel

/// How fast memory grows, with the interval that it lies in; bytes per second.
package struct GrowthRate: Hashable, Sendable {
  package var bytesPerSecond: Double
  /// Infinite where nothing bounds the rate.
  package var lower: Double
  package var upper: Double
  /// Confidence of the interval, 0 to 1.
  package var confidence: Double

  package init(bytesPerSecond: Double, lower: Double, upper: Double, confidence: Double) {
    self.bytesPerSecond = bytesPerSecond
    self.lower = lower
    self.upper = upper
    self.confidence = confidence
  }

  package init(_ growth: GrowthEvidence) {
    self.init(
      bytesPerSecond: growth.slopeInBytesPerSecond, lower: growth.lowerSlope, upper: growth.upperSlope,
      confidence: growth.confidence)
  }

  /// The rate of all of it together: independent errors add up by their squares. nil for none.
  package static func sum(_ rates: [GrowthRate]) -> GrowthRate? {
    guard let first = rates.first else { return nil }
    if rates.count == 1 { return first }
    var value = 0.0
    var below = 0.0
    var above = 0.0
    var confidence = 1.0
    for rate in rates {
      value += rate.bytesPerSecond
      below += (rate.bytesPerSecond - rate.lower) * (rate.bytesPerSecond - rate.lower)
      above += (rate.upper - rate.bytesPerSecond) * (rate.upper - rate.bytesPerSecond)
      confidence = min(confidence, rate.confidence)
    }
    return GrowthRate(
      bytesPerSecond: value, lower: value - below.squareRoot(), upper: value + above.squareRoot(),
      confidence: confidence)
  }
}
