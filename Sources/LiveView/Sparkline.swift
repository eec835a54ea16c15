/// A course in one line of blocks, each as high as its value is above the least.
enum Sparkline {
  private static let steps: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]

  static func text(_ values: [UInt64]) -> String {
    guard let least = values.min(), let greatest = values.max() else { return "" }
    let range = Double(greatest - least)
    return String(
      values.map { value in
        let height = range > 0 ? Double(value - least) / range : 0
        return steps[min(steps.count - 1, Int(saturating: height * Double(steps.count)))]
      })
  }
}
