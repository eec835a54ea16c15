/// One size over time, in at most 64 windows.
///
/// A window keeps the least size in it: what is given back within a window is no growth. While the history is short windows
/// are, too; when all are used each two become one, until a window is as long as is wanted, and from then on the oldest
/// windows are left behind.
package struct SizeHistory: Sendable {
  package static let maximumWindows = 64

  /// Seconds.
  package private(set) var windowLength: Double
  private let longestWindow: Double
  /// Number of the first window that is kept, counted from time 0.
  private var firstWindow: Int
  /// Least bytes; not a number where a window had no sample.
  private var least: [Float] = []
  /// The last sample: windows only keep their least one.
  package private(set) var latestBytes: UInt64 = 0
  package private(set) var lastTime: Double
  package private(set) var greatestBytes: UInt64 = 0
  package private(set) var samples = 0

  /// - Parameters:
  ///   - time: of the first sample, in seconds.
  ///   - windowLength: seconds of the first windows: that between samples.
  ///   - longestWindow: seconds; 64 of them are what is looked back on.
  package init(time: Double, windowLength: Double, longestWindow: Double) {
    self.windowLength = windowLength
    self.longestWindow = max(windowLength, longestWindow)
    firstWindow = Int(time / windowLength)
    lastTime = time
  }

  package mutating func record(_ bytes: UInt64, at time: Double) {
    latestBytes = bytes
    greatestBytes = max(greatestBytes, bytes)
    lastTime = time
    samples += 1
    var place = max(0, Int(time / windowLength) - firstWindow)
    while place >= Self.maximumWindows, windowLength * 2 <= longestWindow {
      mergeWindows()
      place = max(0, Int(time / windowLength) - firstWindow)
    }
    if place >= Self.maximumWindows {
      let gone = place - Self.maximumWindows + 1
      least.removeFirst(min(gone, least.count))
      firstWindow += gone
      place -= gone
    }
    while least.count <= place { least.append(.nan) }
    least[place] = Float.minimum(least[place], Float(bytes))
  }

  private mutating func mergeWindows() {
    var merged: [Float] = []
    let first = firstWindow / 2
    for (place, value) in least.enumerated() {
      let target = (firstWindow + place) / 2 - first
      if target == merged.count { merged.append(value) } else { merged[target] = Float.minimum(merged[target], value) }
    }
    least = merged
    firstWindow = first
    windowLength *= 2
  }

  /// Middle of each window that has a sample in seconds, and the least bytes in it.
  package var points: (seconds: [Double], bytes: [Double]) {
    var seconds: [Double] = []
    var bytes: [Double] = []
    for (place, value) in least.enumerated() where !value.isNaN {
      seconds.append((Double(firstWindow + place) + 0.5) * windowLength)
      bytes.append(Double(value))
    }
    return (seconds, bytes)
  }
}
