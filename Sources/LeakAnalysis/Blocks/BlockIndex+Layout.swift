extension BlockIndex {
  /// Enters regions into an empty table of 2^`bits` places.
  static func fillTable(
    _ memory: PageMemory, _ regions: [BlockSorter.Region], bits: UInt64
  ) -> UnsafePointer<Region> {
    let table = memory.elements(of: Region.self)
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
  struct Layout {
    private(set) var gaps: [Gap] = []
    private(set) var nested: [NestedBlock] = []
    private(set) var filter = AddressFilter(from: 0, to: 0, without: (0, 0))

    init(_ sorter: BlockSorter) {
      var hasNested = false
      var end: UInt64 = 0
      // The widest stretch without a block divides the two ranges of the filter.
      var widest: (from: UInt64, to: UInt64) = (0, 0)
      for (number, region) in sorter.regions.enumerated() {
        // No block lies in the kernel's half of the addresses.
        if region.number > UInt64(Int64.max) >> regionBits { break }
        let start = sorter.starts[region.first]
        if start < end || region.hasNested { hasNested = true }
        if number > 0 && start > end && start - end > widest.to - widest.from { widest = (end, start) }
        // A block without bytes is found by its address, so it counts as one byte.
        end = max(end, region.end, sorter.starts[region.first + region.count - 1] &+ 1)
        let next = number + 1 < sorter.regions.count ? sorter.regions[number + 1].number << regionBits : .max
        let gapStart = (region.number + 1) << regionBits
        if gapStart < next && end > gapStart {
          gaps.append(
            Gap(start: gapStart, end: min(next, end), predecessor: UInt32(region.first + region.count - 1)))
        }
      }
      guard end > 0 else { return }
      // A pointer to the address right behind a block may count as one to the block.
      let gap = widest.to > widest.from ? (from: widest.from + 1, to: widest.to) : widest
      filter = AddressFilter(from: sorter.starts[0], to: end &+ 1, without: gap)
      if hasNested { findNested(sorter) }
    }

    /// The blocks that start inside of others.
    private mutating func findNested(_ sorter: BlockSorter) {
      let large = Dictionary(uniqueKeysWithValues: sorter.largeSizes.joined().map { ($0.block, $0.size) })
      var open: [(block: UInt32, end: UInt64)] = []
      for block in 0..<UInt32(sorter.count) {
        let start = sorter.starts[Int(block)]
        while let last = open.last, last.end <= start { open.removeLast() }
        if let parent = open.last { nested.append(NestedBlock(block: block, parent: parent.block)) }
        let size = large[block] ?? UInt64(sorter.sizes[Int(block)])
        if size > 0 { open.append((block, start &+ size)) }
      }
    }
  }
}
