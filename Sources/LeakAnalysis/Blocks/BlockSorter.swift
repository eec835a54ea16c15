/// Sorts blocks by address and builds their index: a distribution to regions of 1 MiB, then, inside of each region, which
/// fits into a core's cache, one to the granules of the index and an insertion sort. Linear, and on all threads.
final class BlockSorter: @unchecked Sendable {
  let count: Int
  private let threads: Int
  private var pieces: [BlockCollector.Piece]
  /// Where the records go, region by region.
  private var scattered: PageMemory?
  private var counters: [RegionCounter] = []
  /// Regions in which blocks start, ascending.
  private(set) var regions: [Region] = []
  let starts: UnsafeMutablePointer<UInt64>
  let sizes: UnsafeMutablePointer<UInt32>
  let ticks: UnsafeMutablePointer<UInt32>
  let tags: UnsafeMutablePointer<UInt32>
  /// The memory that the pointers above point into.
  var memory: [PageMemory]
  /// The regions of the index. Each is written by one thread.
  private(set) var largeSizes: [[BlockIndex.LargeSize]]

  struct Region {
    let number: UInt64
    /// Its first block, and how many start in it.
    let first: Int
    var count = 0
    var firstGranule = 0
    /// The first address behind all of its blocks.
    var end: UInt64 = 0
    /// Whether one of its blocks starts inside of another one of them.
    var hasNested = false

    /// log2 of the number of granules, for about four blocks in each, at most 2^14.
    var granuleBits: UInt64 { UInt64(min(14, max(0, Int.bitWidth - 2 - count.leadingZeroBitCount))) }
  }

  init(_ blocks: consuming BlockCollector, threads: Int) {
    blocks.seal()
    let count = blocks.count
    self.count = count
    // A thread is worth starting for more blocks than this: starting it takes as long as sorting a few thousand.
    self.threads = max(1, min(threads, count >> 13))
    pieces = blocks.pieces
    largeSizes = Array(repeating: [], count: self.threads)
    let arrays: PageMemory
    let byteCount = 20 * count + 8 * BlockIndex.stride
    if let ready = blocks.ready, ready.pieces.byteCount >= byteCount,
      ready.records.byteCount >= count * MemoryLayout<BlockRecord>.stride
    {
      arrays = ready.pieces
      scattered = ready.records
    } else {
      arrays = PageMemory(byteCount: byteCount, isDense: true)
      scattered = PageMemory(of: BlockRecord.self, count: count, isDense: true)
    }
    starts = arrays.elements(of: UInt64.self)
    sizes = UnsafeMutableRawPointer(starts + count + BlockIndex.stride).assumingMemoryBound(to: UInt32.self)
    ticks = sizes + count
    tags = ticks + count
    memory = [arrays]
  }

  /// Sorts the blocks into the arrays and gives their granules. To be called once.
  func sort() -> UnsafeMutablePointer<UInt32> {
    countRegions()
    planRegions()
    let records = scattered!.elements(of: BlockRecord.self)
    scatter(to: records)
    pieces = []
    counters = []
    var granuleCount = 0
    for number in regions.indices {
      regions[number].firstGranule = granuleCount
      granuleCount += 1 << Int(regions[number].granuleBits) + 1
    }
    let granules = PageMemory(of: UInt32.self, count: granuleCount)
    memory.append(granules)
    sortRegions(records, granules.elements(of: UInt32.self))
    (starts + count).update(repeating: .max, count: BlockIndex.stride)
    return granules.elements(of: UInt32.self)
  }

  /// The memory of the records, which nobody needs when they are sorted.
  func takeRecords() -> PageMemory? { scattered.take() }

  /// The records that a thread brings into order.
  @inline(__always)
  private func forEachRecord(of thread: Int, _ body: (BlockRecord) -> Void) {
    for piece in pieces.count * thread / threads..<pieces.count * (thread + 1) / threads {
      for record in UnsafeBufferPointer(start: pieces[piece].records, count: pieces[piece].count) { body(record) }
    }
  }

  private func countRegions() {
    counters = (0..<threads).map { _ in RegionCounter() }
    onThreads(threads) { thread in
      let counter = self.counters[thread]
      self.forEachRecord(of: thread) { counter.add($0.address >> BlockIndex.regionBits) }
    }
  }

  /// Decides where each region's blocks go, and where each thread puts its part of them.
  private func planRegions() {
    var parts: [(number: UInt64, thread: Int, place: Int)] = []
    for (thread, counter) in counters.enumerated() {
      for place in 0..<counter.capacity {
        if let number = counter.region(at: place) { parts.append((number, thread, place)) }
      }
    }
    parts.sort { $0.number != $1.number ? $0.number < $1.number : $0.thread < $1.thread }
    var next = 0
    for part in parts {
      if regions.last?.number != part.number { regions.append(Region(number: part.number, first: next)) }
      let counter = counters[part.thread]
      let size = Int(counter.entries[part.place].count)
      counter.entries[part.place].count = UInt32(next)
      next += size
      regions[regions.count - 1].count += size
    }
  }

  private func scatter(to records: UnsafeMutablePointer<BlockRecord>) {
    nonisolated(unsafe) let records = records
    onThreads(threads) { thread in
      let counter = self.counters[thread]
      self.forEachRecord(of: thread) { records[counter.takePlace($0.address >> BlockIndex.regionBits)] = $0 }
    }
  }

  private func sortRegions(_ records: UnsafeMutablePointer<BlockRecord>, _ granules: UnsafeMutablePointer<UInt32>) {
    let largest = regions.lazy.map(\.count).max() ?? 0
    let batches = SharedCounter()
    largeSizes.withUnsafeMutableBufferPointer { largeSizes in
      regions.withUnsafeMutableBufferPointer { regions in
        nonisolated(unsafe) let (regions, largeSizes) = (regions, largeSizes)
        nonisolated(unsafe) let (records, granules) = (records, granules)
        onThreads(threads) { thread in
          let keyMemory = PageMemory(of: UInt64.self, count: largest)
          let keys = keyMemory.elements(of: UInt64.self)
          while true {
            let batch = batches.take(16).clamped(to: regions.indices)
            if batch.isEmpty { break }
            for number in batch {
              self.sortRegion(&regions[number], records, granules, keys, &largeSizes[thread])
            }
          }
          withExtendedLifetime(keyMemory) {}
        }
      }
    }
  }

  /// Brings one region's records into order, into the arrays, and its granules.
  private func sortRegion(
    _ region: inout Region, _ allRecords: UnsafeMutablePointer<BlockRecord>,
    _ allGranules: UnsafeMutablePointer<UInt32>, _ keys: UnsafeMutablePointer<UInt64>,
    _ largeSizes: inout [BlockIndex.LargeSize]
  ) {
    let first = region.first
    let records = UnsafeBufferPointer(start: allRecords + first, count: region.count)
    sortKeys(records, first, region.granuleBits, allGranules + region.firstGranule, keys)
    var end: UInt64 = 0
    for position in 0..<records.count {
      let record = records[Int(UInt32(truncatingIfNeeded: keys[position]))]
      let number = first &+ position
      starts[number] = record.address
      sizes[number] = UInt32(clamping: record.size)
      ticks[number] = record.tick
      tags[number] = record.tag
      if record.size >= UInt64(BlockIndex.largeSize) {
        largeSizes.append(BlockIndex.LargeSize(block: UInt32(number), size: record.size))
      }
      if record.address < end { region.hasNested = true }
      end = max(end, record.address &+ record.size)
    }
    region.end = end
  }

  /// Fills `keys` with the offsets of the records in their region, ascending, and below each (32 bits) its record's position.
  private func sortKeys(
    _ records: UnsafeBufferPointer<BlockRecord>, _ first: Int, _ granuleBits: UInt64,
    _ granules: UnsafeMutablePointer<UInt32>, _ keys: UnsafeMutablePointer<UInt64>
  ) {
    let shift = BlockIndex.regionBits &- granuleBits
    let offsetMask: UInt64 = 1 << BlockIndex.regionBits &- 1
    let granuleCount = 1 << Int(granuleBits)
    for record in records {
      granules[Int(truncatingIfNeeded: (record.address & offsetMask) >> shift)] &+= 1
    }
    var sum = UInt32(first)
    var largest: UInt32 = 0
    for granule in 0..<granuleCount {
      largest = max(largest, granules[granule])
      sum &+= granules[granule]
      granules[granule] = sum
    }
    granules[granuleCount] = sum
    // Backwards from the end of each granule, which leaves the start of each.
    for position in records.indices.reversed() {
      let offset = records[position].address & offsetMask
      let granule = Int(truncatingIfNeeded: offset >> shift)
      granules[granule] &-= 1
      keys[Int(granules[granule]) &- first] = offset << 32 | UInt64(position)
    }
    var all = UnsafeMutableBufferPointer(start: keys, count: records.count)
    if largest > 64 {
      all.sort()
    } else {
      for position in 1..<max(1, all.count) {
        let key = keys[position]
        var place = position
        while place > 0 && keys[place &- 1] > key {
          keys[place] = keys[place &- 1]
          place &-= 1
        }
        keys[place] = key
      }
    }
    // Of blocks with one address the largest comes first: the others lie in it.
    var position = 1
    while position < all.count {
      if keys[position] >> 32 == keys[position &- 1] >> 32 {
        let from = position - 1
        while position < all.count && keys[position] >> 32 == keys[from] >> 32 { position += 1 }
        all[from..<position].sort {
          records[Int(UInt32(truncatingIfNeeded: $0))].size > records[Int(UInt32(truncatingIfNeeded: $1))].size
        }
      }
      position += 1
    }
  }
}
