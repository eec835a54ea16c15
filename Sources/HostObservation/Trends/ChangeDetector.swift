/// Page's cumulative sums (1954) in the form of Taylor's change-point analysis: sums of the deviations from the mean of a
/// series turn where the mean changes.
package enum ChangeDetector {
  /// The change at which the means before and after it differ most, and the part of the series' variance that it
  /// explains.
  package struct Change: Hashable, Sendable {
    package var place: Int
    /// The mean after the change minus the mean before it.
    package var size: Double
    /// The part of the variance that the change explains, from 0 to 1.
    package var explained: Double
  }

  /// - Returns: nil for fewer than 4 values, or values that are all equal.
  package static func greatestChange(_ values: [Double]) -> Change? {
    guard values.count >= 4 else { return nil }
    let mean = values.reduce(0, +) / Double(values.count)
    let total = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    guard total > 0 else { return nil }
    var sum = 0.0
    var best: (place: Int, between: Double, size: Double)?
    for place in 1..<values.count {
      sum += values[place - 1] - mean
      let before = Double(place)
      let behind = Double(values.count - place)
      // The sum of squares between two groups whose sums of deviations from the common mean are ±sum.
      let between = sum * sum * (1 / before + 1 / behind)
      if between > best?.between ?? -1 { best = (place, between, -sum / behind - sum / before) }
    }
    return best.map { Change(place: $0.place, size: $0.size, explained: $0.between / total) }
  }
}
