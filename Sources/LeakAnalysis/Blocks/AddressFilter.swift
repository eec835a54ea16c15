/// Two ranges of addresses as their starts and lengths: an address is inside when it is less than a length away.
struct AddressFilter: BitwiseCopyable, Sendable {
  let low: UInt64
  let lowLength: UInt64
  let high: UInt64
  let highLength: UInt64

  /// Addresses from `start` up to `end`, except for a gap; no gap when it is empty.
  init(from start: UInt64, to end: UInt64, without gap: (from: UInt64, to: UInt64)) {
    let hasGap = gap.from < gap.to
    low = start
    lowLength = (hasGap ? gap.from : end) &- start
    high = hasGap ? gap.to : 0
    highLength = hasGap ? end &- gap.to : 0
  }

  /// The ranges do not overlap: an address is never in both.
  @inline(__always)
  func mayContain(_ address: UInt64) -> Bool {
    (address &- low < lowLength) != (address &- high < highLength)
  }
}

/// The same by the upper halves of addresses, and with the gap: lets more pass, but looks at eight at once with what every
/// processor has. What lies in the gap is hardly ever found: other numbers, text among them, are smaller or larger.
struct RoughFilter {
  /// Upper halves less this are less than `end`, as signed numbers, when they are in the range.
  private let bias: SIMD4<Int32>
  private let end: SIMD4<Int32>

  init(_ filter: AddressFilter) {
    func half(_ address: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: address >> 32) }
    let hasHigh = filter.highLength > 0
    let last = hasHigh ? filter.high &+ filter.highLength &- 1 : filter.low &+ filter.lowLength &- 1
    let isEmpty = filter.lowLength == 0 && !hasHigh
    let first = half(filter.lowLength > 0 ? filter.low : filter.high)
    let length = isEmpty ? 0 : min(half(last) &- first, .max - 1) + 1
    bias = SIMD4(repeating: Int32(bitPattern: first &+ 1 << 31))
    end = SIMD4(repeating: Int32(bitPattern: length &+ 1 << 31))
  }

  /// Whether any of eight words can be an address of the filter. They must be aligned to 8 bytes.
  @inline(__always)
  func mayContainAny(ofEightAt words: UnsafePointer<UInt64>) -> Bool {
    let halves = UnsafeRawPointer(words)
    let first = halves.loadUnaligned(as: SIMD8<Int32>.self).oddHalf
    let second = (halves + 32).loadUnaligned(as: SIMD8<Int32>.self).oddHalf
    return any(first &- bias .< end .| second &- bias .< end)
  }
}
