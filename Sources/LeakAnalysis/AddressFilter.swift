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

/// The same by the upper halves of addresses: lets more pass, but looks at four at once with what every x86-64 has.
struct RoughFilter {
  private let lowFirst: SIMD4<Int32>
  private let lowEnd: SIMD4<Int32>
  private let highFirst: SIMD4<Int32>
  private let highEnd: SIMD4<Int32>

  init(_ filter: AddressFilter) {
    // The halves of user addresses are not negative; the bounds are exclusive.
    func half(_ address: UInt64) -> Int32 { Int32(clamping: address >> 32) }
    lowFirst = SIMD4(repeating: half(filter.low) - 1)
    lowEnd = SIMD4(repeating: half(filter.low &+ filter.lowLength &- 1) &+ 1)
    highFirst = SIMD4(repeating: filter.highLength > 0 ? half(filter.high) - 1 : .max)
    highEnd = SIMD4(repeating: filter.highLength > 0 ? half(filter.high &+ filter.highLength &- 1) &+ 1 : .min)
  }

  /// Whether any of eight words can be an address of the filter. They must be aligned to 8 bytes.
  @inline(__always)
  func mayContainAny(ofEightAt words: UnsafePointer<UInt64>) -> Bool {
    let halves = UnsafeRawPointer(words)
    let first = halves.loadUnaligned(as: SIMD8<Int32>.self).oddHalf
    let second = (halves + 32).loadUnaligned(as: SIMD8<Int32>.self).oddHalf
    let inLow = (first .> lowFirst .& first .< lowEnd) .| (second .> lowFirst .& second .< lowEnd)
    let inHigh = (first .> highFirst .& first .< highEnd) .| (second .> highFirst .& second .< highEnd)
    return any(inLow .| inHigh)
  }
}
