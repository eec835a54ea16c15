import TraceModel

/// Where the memory of a gate goes in a process: near the code that leads to it, so that a jump of 5 bytes reaches it.
package enum GatePlacement {
  /// Jumps reach 2 GiB; what the moved instructions refer to has to be within reach as well.
  static let reach: UInt64 = 1 << 30
  /// The heap grows upwards into such a gap.
  static let leastAboveHeap: UInt64 = 1 << 32
  static let lowestAddress: UInt64 = 1 << 16
  /// Left free on both sides.
  static let margin: UInt64 = 1 << 16

  /// The nearest gap below an object that is large enough; nil when there is none.
  ///
  /// - Parameters:
  ///   - range: the addresses of the object.
  ///   - mappings: of the process, in ascending order.
  package static func find(bytes: UInt64, below range: Range<UInt64>, mappings: [Mapping]) -> UInt64? {
    var upper = range.lowerBound
    for mapping in mappings.reversed() where mapping.start < range.lowerBound {
      if let start = place(bytes, between: mapping.end, and: upper, isAboveHeap: mapping.path == "[heap]"),
        isNear(start, range)
      {
        return start
      }
      upper = min(upper, mapping.start)
    }
    guard let start = place(bytes, between: lowestAddress, and: upper, isAboveHeap: false), isNear(start, range) else {
      return nil
    }
    return start
  }

  private static func isNear(_ start: UInt64, _ range: Range<UInt64>) -> Bool { range.upperBound - start < reach }

  private static func place(
    _ bytes: UInt64, between lower: UInt64, and upper: UInt64, isAboveHeap: Bool
  ) -> UInt64? {
    guard upper > lower, upper - lower >= bytes + 2 * margin, !isAboveHeap || upper - lower >= leastAboveHeap else {
      return nil
    }
    return (upper - margin - bytes) & ~0xfff
  }
}
