/// A set of addresses as sorted ranges that do not touch.
struct AddressRanges {
  private(set) var ranges: [Range<UInt64>] = []

  init(_ ranges: some Sequence<Range<UInt64>> = []) {
    for range in ranges.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound {
        self.ranges[self.ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  var isEmpty: Bool { ranges.isEmpty }

  /// Index of the first range that ends after the address.
  private func firstIndex(endingAfter address: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound > address { high = middle } else { low = middle + 1 }
    }
    return low
  }

  func contains(_ address: UInt64) -> Bool {
    let index = firstIndex(endingAfter: address)
    return index < ranges.count && ranges[index].contains(address)
  }

  func overlaps(_ range: Range<UInt64>) -> Bool {
    let index = firstIndex(endingAfter: range.lowerBound)
    return index < ranges.count && ranges[index].overlaps(range)
  }

  /// What of a range is not in the set.
  func subtracted(from range: Range<UInt64>) -> [Range<UInt64>] {
    var rest: [Range<UInt64>] = []
    var start = range.lowerBound
    var index = firstIndex(endingAfter: start)
    while index < ranges.count, ranges[index].lowerBound < range.upperBound {
      if ranges[index].lowerBound > start { rest.append(start..<ranges[index].lowerBound) }
      start = max(start, ranges[index].upperBound)
      index += 1
    }
    if start < range.upperBound { rest.append(start..<range.upperBound) }
    return rest
  }
}
