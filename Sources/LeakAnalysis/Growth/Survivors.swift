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

  /// - Parameters:
  ///   - time: of the block's birth, CLOCK_MONOTONIC nanoseconds.
  ///   - weight: how many blocks a sampled one stands for.
  package mutating func add(sizeInBytes: UInt64, time: UInt64, weight: Double = 1, clock: GrowthClock) {
    windows |= 1 << UInt64(clock.window(of: time))
    let size = Double(sizeInBytes) * weight
    bytes += size
    count += weight
    if time <= clock.startupEnd { startupBytes += size }
    if time <= clock.oldEnd { oldCount += weight }
  }
}
