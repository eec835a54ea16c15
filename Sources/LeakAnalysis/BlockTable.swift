/// Blocks in ascending order of address, indexed for `BlockIndex`. Immutable.
///
/// About 23 bytes a block: start 8, size 4, time 4, tag 4, and the index.
final class BlockTable: @unchecked Sendable {
  let index: BlockIndex
  private let ticks: UnsafeMutablePointer<UInt32>
  private let tags: UnsafeMutablePointer<UInt32>
  private let memory: [PageMemory]

  var count: Int { index.count }

  /// Sorts the blocks with this many threads.
  init(_ blocks: consuming BlockCollector, threads: Int) {
    let sorter = BlockSorter(blocks, threads: threads)
    let granules = sorter.sort()
    var memory = sorter.memory
    index = BlockIndex(sorter, granules: granules, memory: &memory)
    ticks = sorter.ticks
    tags = sorter.tags
    self.memory = memory
  }

  /// The block of a number; its time is rounded down to units of 2^20 ns.
  func block(_ number: Int) -> LeakBlock {
    LeakBlock(
      address: index.starts[number], sizeInBytes: index.size(number), time: UInt64(ticks[number]) << 20)
  }

  func tag(_ number: Int) -> UInt32 { tags[number] }
  func tick(_ number: Int) -> UInt32 { ticks[number] }
}

extension BlockIndex {
  /// Completes the index of sorted blocks; what it points into is added to `memory`.
  fileprivate init(_ sorter: BlockSorter, granules: UnsafeMutablePointer<UInt32>, memory: inout [PageMemory]) {
    func keep<Element>(_ elements: [Element]) -> UnsafeBufferPointer<Element> {
      let pages = PageMemory(of: Element.self, count: elements.count)
      memory.append(pages)
      let target = UnsafeMutableBufferPointer(start: pages.elements(of: Element.self), count: elements.count)
      _ = target.initialize(from: elements)
      return UnsafeBufferPointer(target)
    }
    count = sorter.count
    starts = UnsafePointer(sorter.starts)
    sizes = UnsafePointer(sorter.sizes)
    largeSizes = keep(sorter.largeSizes.joined().sorted { $0.block < $1.block })
    self.granules = UnsafePointer(granules)
    let bits = UInt64(max(4, Int.bitWidth - (sorter.regions.count * 2).leadingZeroBitCount))
    regionShift = 64 - bits
    regionMask = 1 << Int(bits) - 1
    regions = Self.hashTable(sorter.regions, bits: bits, memory: &memory)
    let layout = Self.layout(of: sorter)
    gaps = keep(layout.gaps)
    filter = layout.filter
    if layout.hasNested { nested = keep(findNested()) }
  }

  private static func hashTable(
    _ regions: [BlockSorter.Region], bits: UInt64, memory: inout [PageMemory]
  ) -> UnsafePointer<Region> {
    let pages = PageMemory(of: Region.self, count: 1 << Int(bits))
    memory.append(pages)
    let table = pages.elements(of: Region.self)
    table.initialize(repeating: Region(), count: 1 << Int(bits))
    for region in regions {
      var place = hash(region.number, shift: 64 - bits)
      while table[place].number != noRegion { place = (place + 1) & (1 << Int(bits) - 1) }
      table[place] = Region(
        number: region.number, firstGranule: UInt32(region.firstGranule),
        granuleShift: UInt32(regionBits - region.granuleBits))
    }
    return UnsafePointer(table)
  }

  /// Where blocks lie, seen from afar.
  private static func layout(
    of sorter: BlockSorter
  ) -> (gaps: [Gap], filter: AddressFilter, hasNested: Bool) {
    var gaps: [Gap] = []
    var hasNested = false
    var end: UInt64 = 0
    // The widest stretch without a block divides the two ranges of the filter.
    var widest: (from: UInt64, to: UInt64) = (0, 0)
    for (number, region) in sorter.regions.enumerated() {
      let start = sorter.starts[region.first]
      if start < end || region.hasNested { hasNested = true }
      if number > 0 && start > end && start - end > widest.to - widest.from { widest = (end, start) }
      // A block of no bytes is found by the address behind the last byte before it, too.
      end = max(end, region.end, sorter.starts[region.first + region.count - 1] &+ 1)
      let next = number + 1 < sorter.regions.count ? sorter.regions[number + 1].number << regionBits : .max
      let gapStart = (region.number + 1) << regionBits
      if gapStart < next && end > gapStart {
        gaps.append(
          Gap(start: gapStart, end: min(next, end), predecessor: UInt32(region.first + region.count - 1)))
      }
    }
    guard let first = sorter.regions.first else {
      return ([], AddressFilter(low: 0, lowLength: 0, high: 0, highLength: 0), false)
    }
    let start = sorter.starts[first.first]
    let filter =
      widest.to > 0
      ? AddressFilter(low: start, lowLength: widest.from - start, high: widest.to, highLength: end &- widest.to)
      : AddressFilter(low: start, lowLength: end &- start, high: 0, highLength: 0)
    return (gaps, filter, hasNested)
  }

  /// The blocks that start inside of others.
  private func findNested() -> [NestedBlock] {
    var nested: [NestedBlock] = []
    var open: [Int] = []
    for block in 0..<count {
      while let last = open.last, end(last) <= starts[block] { open.removeLast() }
      if let parent = open.last { nested.append(NestedBlock(block: UInt32(block), parent: UInt32(parent))) }
      if size(block) > 0 { open.append(block) }
    }
    return nested
  }
}
