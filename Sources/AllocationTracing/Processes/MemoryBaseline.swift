import TraceModel

/// What memory a process had when its present program was first seen.
struct MemoryBaseline {
  /// See ``ProcessInfo/ownBytes(of:)``.
  var ownBytes: UInt64 = 0
  /// Accessible ranges, ascending: also what is reserved and was never touched.
  var ranges: [Range<UInt64>] = []

  /// Of a program that has no memory yet.
  init() {}

  /// - Parameter includesReserved: whether ranges count that nobody may access yet. Some allocators reserve memory so.
  init(ownBytes: UInt64, mappings: [Mapping], includesReserved: Bool) {
    self.ownBytes = ownBytes
    for mapping in mappings where includesReserved || !mapping.permissions.isDisjoint(with: [.read, .write]) {
      if let last = ranges.last, last.upperBound == mapping.start {
        ranges[ranges.count - 1] = last.lowerBound..<mapping.end
      } else {
        ranges.append(mapping.start..<mapping.end)
      }
    }
  }

  /// Bytes of it that are not mapped any more, in memory at most so many.
  func removedBytes(mappings: [Mapping]) -> UInt64 {
    var gone: UInt64 = 0
    var index = 0
    for range in ranges {
      var start = range.lowerBound
      while index < mappings.count, mappings[index].end <= start { index += 1 }
      var next = index
      while start < range.upperBound, next < mappings.count, mappings[next].start < range.upperBound {
        if mappings[next].start > start { gone &+= mappings[next].start - start }
        start = max(start, min(mappings[next].end, range.upperBound))
        next += 1
      }
      gone &+= range.upperBound - start
    }
    return min(gone, ownBytes)
  }
}
