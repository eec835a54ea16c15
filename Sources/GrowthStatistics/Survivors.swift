/// When the blocks of one site were born that are alive now, gathered in one pass over all blocks.
package struct Survivors: Hashable, Sendable {
  /// A bit for each window of the run in which one of them was born.
  package private(set) var windows: UInt64 = 0
  package private(set) var bytes = 0.0
  package private(set) var count = 0.0
  /// Bytes of those from the first tenth of the run.
  package private(set) var startupBytes = 0.0
  /// Number of those that are not from its youngest tenth.
  package private(set) var oldCount = 0.0

  package init() {}

  /// Where only totals are known: any of the freed blocks may have been born in any window, so survivors are sure to be from those
  /// windows alone in which more were born than have been freed in all.
  ///
  /// - Parameter births: blocks born in each window.
  init(births: [Double], freedCount: Double, bytes: Double) {
    for (window, born) in births.enumerated() where born > freedCount { windows |= 1 << UInt64(window) }
    count = max(0, births.reduce(0, +) - freedCount)
    self.bytes = bytes
  }

  /// - Parameters:
  ///   - bytes: the block's size, times the number of blocks that a sampled one stands for.
  ///   - count: that number.
  ///   - time: of the block's birth, CLOCK_MONOTONIC nanoseconds.
  package mutating func add(bytes: Double, count: Double = 1, time: UInt64, ages: GrowthAges) {
    windows |= 1 << UInt64(ages.window(of: time))
    self.bytes += bytes
    self.count += count
    if time <= ages.startupEnd { startupBytes += bytes }
    if time <= ages.oldEnd { oldCount += count }
  }

  /// The same where blocks were counted in parts of one.
  package func inUnits(of unit: Double) -> Survivors {
    var survivors = self
    survivors.count /= unit
    survivors.oldCount /= unit
    return survivors
  }

  /// Adds those of another site of the same run.
  package mutating func add(_ other: Survivors) {
    windows |= other.windows
    bytes += other.bytes
    count += other.count
    startupBytes += other.startupBytes
    oldCount += other.oldCount
  }
}
