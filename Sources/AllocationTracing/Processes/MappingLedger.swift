import TraceModel

/// Which ranges of its address space a process has mapped itself while traced, and from which sites. The ledger stays exact
/// when ranges are partly unmapped, remapped, or mapped over.
package struct MappingLedger {
  /// A range that one call mapped and that is still mapped, with the call's site. A call counts as outstanding while any
  /// part of what it mapped is left.
  package struct Range: Equatable, Sendable {
    package var start: UInt64
    package var end: UInt64
    package var site: UInt32
    /// CLOCK_MONOTONIC nanoseconds.
    package var time: UInt64
    /// Number of the call. Ranges with the same number are parts of what one call mapped.
    package var call: UInt64
    /// Whether it was mapped over memory of the process's own, or is what is left of such memory: part of a reservation that
    /// is used bit by bit. Nobody keeps a pointer to each part.
    package var isReserved = false
  }

  /// Totals of one site.
  package struct SiteTotals: Equatable, Sendable {
    package var allocated = Tally()
    package var freed = Tally()
    package var outstanding: Tally {
      Tally(bytes: allocated.bytes - freed.bytes, count: allocated.count - freed.count)
    }
  }

  /// Sorted by start, not overlapping.
  package private(set) var ranges: [Range] = []
  package private(set) var totals: [UInt32: SiteTotals] = [:]
  /// What allocators have mapped for themselves. Sorted, not overlapping.
  package private(set) var allocatorMemory: [Swift.Range<UInt64>] = []
  private var partsOfCall: [UInt64: Int] = [:]
  private var nextCall: UInt64 = 1

  package init() {}

  private static let pageSize: UInt64 = 4096
  /// User addresses lie below.
  private static let addressLimit: UInt64 = 1 << 47

  private func roundedUp(_ size: UInt64) -> UInt64 {
    (size + (Self.pageSize - 1)) & ~(Self.pageSize - 1)
  }

  /// Records a new mapping. Whatever it lies over is unmapped by it. Without a `site` it is not a mapping of the program's
  /// that counts: it is an allocator's if `forAllocator` is true, else the loader's, or one from before the trace that was
  /// moved or resized.
  package mutating func map(
    start: UInt64, size: UInt64, site: UInt32?, time: UInt64, forAllocator: Bool = false
  ) {
    // A process that jumps into the middle of the C library can report calls that the kernel has not carried out.
    let end = start + roundedUp(size)
    guard end > start, end <= Self.addressLimit else { return }
    add(start: start, end: end, site: site, time: time)
    if site == nil, forAllocator { insertAllocatorMemory(start..<end) }
  }

  private mutating func add(start: UInt64, end: UInt64, site: UInt32?, time: UInt64) {
    let isReserved = !remove(start: start, end: end, isMappedOver: true).isEmpty
    guard let site else { return }
    let call = nextCall
    nextCall += 1
    insert(Range(start: start, end: end, site: site, time: time, call: call, isReserved: isReserved))
    partsOfCall[call] = 1
    totals[site, default: SiteTotals()].allocated += Tally(bytes: end - start, count: 1)
  }

  package mutating func unmap(start: UInt64, size: UInt64) {
    // The call is seen before it is made, and the kernel refuses these. What it accepts succeeds.
    guard start % Self.pageSize == 0, size != 0 else { return }
    let end = start + roundedUp(size)
    guard end > start, end <= Self.addressLimit else { return }
    _ = remove(start: start, end: end)
  }

  /// Records that the program break moved. It moves by single bytes, not by pages.
  package mutating func moveBreak(
    from previous: UInt64, to current: UInt64, site: UInt32?, time: UInt64
  ) {
    guard max(previous, current) <= Self.addressLimit else { return }
    if current > previous {
      add(start: previous, end: current, site: site, time: time)
    } else {
      _ = remove(start: current, end: previous)
    }
  }

  /// Records an mremap, which is to a mapping what realloc is to a block: the old range is freed and the new one belongs to
  /// `site`.
  package mutating func remap(
    oldStart: UInt64, oldSize: UInt64, newStart: UInt64, newSize: UInt64, site: UInt32?,
    time: UInt64
  ) {
    let oldEnd = oldStart + roundedUp(oldSize)
    guard oldEnd <= Self.addressLimit else { return }
    let wasAllocators = allocatorMemory.contains { $0.overlaps(oldStart..<max(oldEnd, oldStart + 1)) }
    let wasTracked = !remove(start: oldStart, end: oldEnd).isEmpty
    // Growth of what was mapped before the trace, or by an allocator, is not a new mapping of the program's.
    map(
      start: newStart, size: newSize, site: wasTracked || oldSize == 0 ? site : nil, time: time,
      forAllocator: wasAllocators)
  }

  /// How many separate parts are left of what one call mapped.
  package func partCount(ofCall call: UInt64) -> Int { partsOfCall[call] ?? 0 }

  /// Adds a range to the allocators' memory. Ranges that touch are joined.
  private mutating func insertAllocatorMemory(_ range: Swift.Range<UInt64>) {
    var index = firstAllocatorIndex(endingAfter: range.lowerBound)
    var joined = range
    if index > 0, allocatorMemory[index - 1].upperBound == range.lowerBound {
      index -= 1
      joined = allocatorMemory.remove(at: index).lowerBound..<range.upperBound
    }
    if index < allocatorMemory.count, allocatorMemory[index].lowerBound == joined.upperBound {
      joined = joined.lowerBound..<allocatorMemory.remove(at: index).upperBound
    }
    allocatorMemory.insert(joined, at: index)
  }

  private func firstAllocatorIndex(endingAfter address: UInt64) -> Int {
    var low = 0
    var high = allocatorMemory.count
    while low < high {
      let middle = (low + high) / 2
      if allocatorMemory[middle].upperBound > address { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private mutating func removeAllocatorMemory(_ range: Swift.Range<UInt64>) {
    let first = firstAllocatorIndex(endingAfter: range.lowerBound)
    var last = first
    var kept: [Swift.Range<UInt64>] = []
    while last < allocatorMemory.count, allocatorMemory[last].lowerBound < range.upperBound {
      let part = allocatorMemory[last]
      if part.lowerBound < range.lowerBound { kept.append(part.lowerBound..<range.lowerBound) }
      if part.upperBound > range.upperBound { kept.append(range.upperBound..<part.upperBound) }
      last += 1
    }
    if first < last { allocatorMemory.replaceSubrange(first..<last, with: kept) }
  }

  /// Outstanding bytes and calls of a site.
  package func outstanding(of site: UInt32) -> Tally {
    (totals[site] ?? SiteTotals()).outstanding
  }

  // MARK: Ranges

  private func firstIndex(endingAfter address: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].end > address { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private mutating func insert(_ range: Range) {
    ranges.insert(range, at: firstIndex(endingAfter: range.start))
  }

  /// Cuts [start, end) out of what is recorded and returns the cut parts.
  private mutating func remove(start: UInt64, end: UInt64, isMappedOver: Bool = false) -> [Range] {
    if start < end { removeAllocatorMemory(start..<end) }
    let first = firstIndex(endingAfter: start)
    var last = first
    while last < ranges.count, ranges[last].start < end { last += 1 }
    guard first < last else { return [] }
    var cut: [Range] = []
    var kept: [Range] = []
    for range in ranges[first..<last] {
      var part = range
      part.start = max(range.start, start)
      part.end = min(range.end, end)
      cut.append(part)
      if range.start < start {
        var left = range
        left.end = start
        left.isReserved = left.isReserved || isMappedOver
        kept.append(left)
      }
      if range.end > end {
        var right = range
        right.start = end
        right.isReserved = right.isReserved || isMappedOver
        kept.append(right)
      }
      let partsLeft =
        partsOfCall[range.call, default: 1] - 1 + (range.start < start ? 1 : 0)
        + (range.end > end ? 1 : 0)
      partsOfCall[range.call] = partsLeft == 0 ? nil : partsLeft
      totals[range.site]?.freed += Tally(
        bytes: part.end - part.start, count: partsLeft == 0 ? 1 : 0)
    }
    ranges.replaceSubrange(first..<last, with: kept)
    return cut
  }
}
