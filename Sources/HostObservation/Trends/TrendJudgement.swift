import GrowthStatistics

/// Whether a size over time grows, and how fast; judged from the series alone, no code is looked at.
///
/// Growth has to be there in several ways at once, since each alone is also seen where nothing leaks: a slope that surely
/// is above 0 (Theil and Sen, which outliers do not move), a floor that rises (a saw's teeth come back to theirs), a second
/// half that goes on (a start-up or a cache slows down), and a line that explains the series better than one step does
/// (cumulative sums find the step). Behind a step the rest is judged for itself, which finds growth that began lately.
package struct TrendJudgement: Hashable, Sendable {
  package enum Word: String, Hashable, Sendable, CaseIterable {
    case growing
    /// The size rose once and stays up.
    case step
    /// The size rises ever more slowly, as in a start-up or a cache that fills.
    case settling
    case falling
    /// The size moves by less than matters.
    case steady
    /// The size moves, and no trend is certain.
    case fluctuating
    case tooShort = "too short"
  }

  package var word: Word
  /// Bytes per second, with an interval of 99 %. 0 where nothing was computed.
  package var slope: Double = 0
  package var lowerSlope: Double = 0
  package var upperSlope: Double = 0
  /// The beginning of the part that was judged, in the seconds of the series: it lies behind the last step.
  package var since: Double = 0
  package var windows: Int

  package static let minimumWindows = 10
  package static let minimumSeconds = 4.0
  package static let confidence = 0.99
  /// Half the width of the interval in standard deviations.
  private static let deviations = 2.575829
  /// Less than this over the whole series, or than this part of the level, is of no interest.
  private static let leastRise = 96.0 * 1024
  private static let leastShare = 0.002

  package init(_ points: (seconds: [Double], bytes: [Double])) {
    self.init(points, depth: 0)
  }

  private init(word: Word, windows: Int, since: Double) {
    self.word = word
    self.windows = windows
    self.since = since
  }

  private init(_ points: (seconds: [Double], bytes: [Double]), depth: Int) {
    let (x, y) = points
    self.init(word: .tooShort, windows: y.count, since: x.first ?? 0)
    guard y.count >= Self.minimumWindows, let first = x.first, let last = x.last, last - first >= Self.minimumSeconds
    else { return }
    let quarters = Self.floors(y, parts: 4)
    let level = y.sorted()[y.count / 2]
    let matters = max(Self.leastRise, Self.leastShare * level)
    // Most series of a host do not move: they cost no more than this.
    let spread = y.max()! - y.min()!
    if spread < matters {
      word = .steady
      return
    }
    guard let line = TrendLine(x: x, y: y, deviations: Self.deviations) else { return }
    slope = line.slope
    lowerSlope = line.lower
    upperSlope = line.upper
    let seconds = last - first
    if line.slope * seconds <= -matters, line.upper < 0 {
      word = .falling
      return
    }
    word = .fluctuating
    if let change = ChangeDetector.greatestChange(y), change.explained >= 0.6,
      change.explained > Self.explainedByLine(x, y)
    {
      if change.size > 0 { word = .step }
      // What came behind the step decides.
      let rest = (Array(x[change.place...]), Array(y[change.place...]))
      if depth < 3, rest.0.count >= Self.minimumWindows {
        let later = TrendJudgement(rest, depth: depth + 1)
        if later.word == .growing { self = later }
      }
      return
    }
    guard line.slope * seconds >= matters else { return }
    if line.lower <= 0 {
      // A cycle widens the interval of the slope so much that it says nothing, however far the series rises over it. The
      // line through its floors has an interval without the cycle; where that does not bound it either, nothing is sure.
      guard Self.outgrowsItsFalls(y, rise: line.slope * seconds), let floor = Self.lineOfFloors(x, y), floor.lower > 0
      else { return }
      slope = floor.slope
      lowerSlope = floor.lower
      upperSlope = floor.upper
    }
    let middle = y.count / 2
    guard let early = TrendLine(x: Array(x[...middle]), y: Array(y[...middle]), allowsForMemory: false),
      let late = TrendLine(x: Array(x[middle...]), y: Array(y[middle...]), allowsForMemory: false)
    else { return }
    let floorRise = quarters[3] - quarters[0]
    // The floors of the first and the last quarter are three quarters of the time apart.
    let floorRises =
      floorRise >= 0.4 * line.slope * seconds * 0.75 && quarters[3] >= quarters[2] && quarters[2] >= quarters[0]
    let slowsDown = late.slope < 0.4 * early.slope || late.slope < 0.25 * line.slope
    if slowsDown {
      word = .settling
    } else if floorRises, late.slope > 0 {
      word = .growing
    }
  }

  /// Whether a series rises by a multiple of its deepest fall, and does so in many parts of its time, late ones too.
  /// A walk at random seldom does.
  private static func outgrowsItsFalls(_ values: [Double], rise: Double) -> Bool {
    var greatest = values[0]
    var deepest = 0.0
    for value in values {
      greatest = max(greatest, value)
      deepest = max(deepest, greatest - value)
    }
    guard rise >= 6 * deepest else { return false }
    let stretches = 8
    let rising = (0..<stretches).filter { stretch in
      let start = stretch * (values.count - 1) / stretches
      let end = (stretch + 1) * (values.count - 1) / stretches
      return values[end] - values[start] >= 0.25 * rise / Double(stretches)
    }
    return rising.count >= 4 && rising.contains { $0 >= stretches - 2 }
  }

  /// The line through the least values of up to 16 equal parts.
  private static func lineOfFloors(_ x: [Double], _ y: [Double]) -> TrendLine? {
    let parts = min(16, y.count / 2)
    guard parts >= 3 else { return nil }
    let middles = (0..<parts).map { part -> Double in
      let range = (part * x.count / parts)..<((part + 1) * x.count / parts)
      return (x[range.lowerBound] + x[range.upperBound - 1]) / 2
    }
    return TrendLine(x: middles, y: floors(y, parts: parts), deviations: deviations, allowsForMemory: false)
  }

  /// The least value in each of so many equal parts.
  private static func floors(_ values: [Double], parts: Int) -> [Double] {
    (0..<parts).map { part in
      values[(part * values.count / parts)..<((part + 1) * values.count / parts)].min() ?? 0
    }
  }

  /// What part of the variance of a series a line of least squares explains: 0 to 1.
  private static func explainedByLine(_ x: [Double], _ y: [Double]) -> Double {
    let count = Double(x.count)
    let meanX = x.reduce(0, +) / count
    let meanY = y.reduce(0, +) / count
    var product = 0.0
    var squareX = 0.0
    var squareY = 0.0
    for place in x.indices {
      product += (x[place] - meanX) * (y[place] - meanY)
      squareX += (x[place] - meanX) * (x[place] - meanX)
      squareY += (y[place] - meanY) * (y[place] - meanY)
    }
    guard squareX > 0, squareY > 0 else { return 0 }
    return product * product / (squareX * squareY)
  }
}
