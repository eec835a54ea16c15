/// A series as a line of small bars.
package enum Sparkline {
  private static let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]

  /// - Parameter width: greatest number of characters; each is the mean of its part of the series.
  package static func draw(_ values: [Double], width: Int) -> String {
    guard !values.isEmpty, width > 0 else { return "" }
    let count = min(width, values.count)
    let means = (0..<count).map { place in
      let part = values[(place * values.count / count)..<((place + 1) * values.count / count)]
      return part.reduce(0, +) / Double(part.count)
    }
    guard let least = means.min(), let greatest = means.max() else { return "" }
    let range = greatest - least
    return String(
      means.map { value in
        range > 0 ? bars[min(bars.count - 1, Int(saturating: (value - least) / range * Double(bars.count)))] : bars[0]
      })
  }
}
