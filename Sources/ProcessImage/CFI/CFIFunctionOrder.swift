/// Sorts functions by address. Linkers usually leave them in order or in a few ordered runs, so this is mostly cheap.
enum CFIFunctionOrder {
  private static let digitBits: UInt64 = 11

  /// The indices of `functions` in ascending order of their starts. Functions with the same start keep their order.
  static func ascending(_ functions: [CFIConverter.Function]) -> [UInt32] {
    var order = [UInt32](0..<UInt32(functions.count))
    var isSorted = true
    var low = UInt64.max
    var high: UInt64 = 0
    for index in functions.indices {
      let start = functions[index].start
      if start < high { isSorted = false }
      high = max(high, start)
      low = min(low, start)
    }
    guard !isSorted else { return order }

    // Radix sort, least significant digit first.
    var keys = functions.map { $0.start - low }
    var otherKeys = keys
    var otherOrder = order
    let digits = 1 << Int(digitBits)
    var shift: UInt64 = 0
    while shift < 64, (high - low) >> shift != 0 {
      var positions = [Int](repeating: 0, count: digits)
      for key in keys { positions[Int(truncatingIfNeeded: key >> shift) & (digits - 1)] += 1 }
      var sum = 0
      for digit in positions.indices {
        (positions[digit], sum) = (sum, sum + positions[digit])
      }
      for index in keys.indices {
        let digit = Int(truncatingIfNeeded: keys[index] >> shift) & (digits - 1)
        let position = positions[digit]
        positions[digit] += 1
        otherKeys[position] = keys[index]
        otherOrder[position] = order[index]
      }
      swap(&keys, &otherKeys)
      swap(&order, &otherOrder)
      shift += digitBits
    }
    return order
  }
}
