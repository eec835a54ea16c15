import ProcessImage
import TraceModel

/// The memory that a process's allocators manage, as far as it can be told from outside: the break's, glibc's arenas,
/// and what allocators have mapped since the trace began. Memory that another allocator than glibc's had mapped before
/// is not known.
package struct AllocatorHeaps {
  package let ranges: [Range<UInt64>]
  private let resident: ResidentMemory

  /// - Parameters:
  ///   - mappings: the process's, ascending.
  ///   - allocatorMemory: what allocators were seen to map.
  ///   - ownMappings: what the program mapped itself, which is no heap.
  package init(
    processID: Int32, mappings: [Mapping], allocatorMemory: [Range<UInt64>], ownMappings: [Range<UInt64>]
  ) throws(ProcessError) {
    let memory = try RemoteMemory(processID: processID)
    var found = allocatorMemory
    for mapping in mappings where mapping.permissions.contains(.write) {
      if mapping.path == "[heap]" { found.append(mapping.start..<mapping.end) }
      found += GlibcHeap.arenas(in: mapping, memory: memory)
    }
    let own = AddressRanges(ownMappings)
    // The unused part of an arena may be inaccessible, and an allocator may have given its memory back.
    let accessible = AddressRanges(
      mappings.lazy.filter { $0.permissions.contains(.write) }.map { $0.start..<$0.end })
    let all = AddressRanges(found)
    ranges = all.ranges.flatMap { range in
      AddressRanges(accessible.subtracted(from: range)).subtracted(from: range).flatMap { own.subtracted(from: $0) }
    }
    resident = try ResidentMemory(processID: processID, mappings: mappings)
  }

  package var mappedBytes: UInt64 { ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }

  /// Stretches of the heaps that have content, in memory or swapped out.
  package func forEachResident(_ body: (Range<UInt64>) -> Void) {
    for range in ranges {
      var rest = range
      while !rest.isEmpty, let found = resident.nextResident(in: rest) {
        body(found)
        rest = found.upperBound..<rest.upperBound
      }
    }
  }

  package var residentBytes: UInt64 {
    var sum: UInt64 = 0
    forEachResident { sum += $0.upperBound - $0.lowerBound }
    return sum
  }

  /// Bytes of resident pages in which a byte of some block lies.
  ///
  /// - Parameter forEachBlock: calls what it is given with the range of every block.
  package func pinnedBytes(_ forEachBlock: ((Range<UInt64>) -> Void) -> Void) -> UInt64 {
    var pages: [Range<UInt64>] = []
    forEachResident { pages.append($0.lowerBound >> 12..<($0.upperBound + 4095) >> 12) }
    var firstBits: [Int] = []
    var count = 0
    for range in pages {
      firstBits.append(count)
      count += range.count
    }
    var bits = [UInt64](repeating: 0, count: (count + 63) / 64)
    forEachBlock { block in
      var page = block.lowerBound >> 12
      let end = max(page + 1, (block.upperBound + 4095) >> 12)
      var place = Self.firstIndex(in: pages, endingAfter: page)
      while place < pages.count, pages[place].lowerBound < end {
        page = max(page, pages[place].lowerBound)
        while page < min(end, pages[place].upperBound) {
          let bit = firstBits[place] + Int(page - pages[place].lowerBound)
          bits[bit / 64] |= 1 << UInt64(bit % 64)
          page += 1
        }
        place += 1
      }
    }
    return UInt64(bits.reduce(0) { $0 + $1.nonzeroBitCount }) << 12
  }

  private static func firstIndex(in ranges: [Range<UInt64>], endingAfter address: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound > address { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
