/// Finds the block that an address belongs to, in a few nanoseconds.
///
/// Address space is cut into regions of 1 MiB; those in which blocks start are in a hash table, and each of them is cut
/// into granules that hold about four blocks, so that the memory needed depends on the number of blocks alone, whatever
/// the span of addresses.
final class BlockIndex: @unchecked Sendable {
  let count: Int
  /// Ascending; `stride` more than there are blocks, these `UInt64.max`.
  let starts: UnsafePointer<UInt64>
  /// `largeSize` where the size does not fit.
  let sizes: UnsafePointer<UInt32>
  let largeSizes: UnsafeBufferPointer<LargeSize>
  let regions: UnsafePointer<Region>
  let regionShift: UInt64
  let regionMask: Int
  /// For every region the first block of each granule, and the first block behind the region.
  let granules: UnsafePointer<UInt32>
  /// Where no block starts, but one reaches in.
  let gaps: UnsafeBufferPointer<Gap>
  /// Blocks that start inside of another one, ascending, and that other one.
  let nested: UnsafeBufferPointer<NestedBlock>
  /// No block lies outside of these two ranges: most addresses of a process are in neither.
  let filter: AddressFilter
  /// The memory that all of these point into.
  private let memory: [PageMemory]

  /// Completes the index of blocks that were sorted.
  init(_ sorter: BlockSorter, granules: UnsafeMutablePointer<UInt32>) {
    var memory = sorter.memory
    func keep<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafeBufferPointer<Element> {
      let pages = PageMemory(of: Element.self, count: elements.count)
      memory.append(pages)
      let target = UnsafeMutableBufferPointer(start: pages.elements(of: Element.self), count: elements.count)
      _ = target.initialize(from: elements)
      return UnsafeBufferPointer(target)
    }
    count = sorter.count
    starts = UnsafePointer(sorter.starts)
    sizes = UnsafePointer(sorter.sizes)
    self.granules = UnsafePointer(granules)
    largeSizes = keep(sorter.largeSizes.joined().sorted { $0.block < $1.block })
    let bits = UInt64(max(4, Int.bitWidth - (sorter.regions.count * 2).leadingZeroBitCount))
    regionShift = 64 - bits
    regionMask = 1 << Int(bits) - 1
    let table = PageMemory(of: Region.self, count: 1 << Int(bits))
    memory.append(table)
    regions = Self.fillTable(table, sorter.regions, bits: bits)
    let layout = Layout(sorter)
    gaps = keep(layout.gaps)
    filter = layout.filter
    nested = keep(layout.nested)
    self.memory = memory
  }

  /// Memory taken, this index and the blocks' arrays together.
  var memoryBytes: Int { memory.reduce(0) { $0 + $1.byteCount } }

  static let regionBits: UInt64 = 20
  static let largeSize = UInt32.max
  static let noRegion = UInt64.max

  struct Region: BitwiseCopyable {
    var number = BlockIndex.noRegion
    var firstGranule: UInt32 = 0
    /// Addresses in the region shifted by this give the granule.
    var granuleShift: UInt32 = 0
  }

  struct Gap: BitwiseCopyable {
    let start: UInt64
    let end: UInt64
    /// The last block that starts before the gap.
    let predecessor: UInt32
  }

  struct NestedBlock: BitwiseCopyable {
    let block: UInt32
    let parent: UInt32
  }

  struct LargeSize: BitwiseCopyable {
    let block: UInt32
    let size: UInt64
  }

  @inline(__always)
  static func hash(_ region: UInt64, shift: UInt64) -> Int {
    Int(truncatingIfNeeded: (region &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  @inline(__always)
  func size(_ block: Int) -> UInt64 {
    let size = sizes[block]
    return size != Self.largeSize ? UInt64(size) : largeSize(block)
  }

  /// The first address behind the block's bytes.
  @inline(__always)
  func end(_ block: Int) -> UInt64 { starts[block] &+ size(block) }

  @inline(never)
  private func largeSize(_ block: Int) -> UInt64 {
    largeSizes[firstPosition(in: largeSizes) { $0.block >= UInt32(block) }].size
  }

  /// The innermost block that the address is the start of or lies in, or −1. The address behind a block of one aligned
  /// word that belongs to no other block also leads to it: it may be an array of no elements behind their number.
  func find(_ address: UInt64) -> Int {
    let granule = granule(of: address)
    if granule == Self.noGranule { return block(of: address, lastStart: predecessorOfGap(address)) }
    return find(address, inGranule: granule, from: Int(granules[granule]))
  }

  /// The same for several addresses at once, which is faster: the loads from memory that each of them needs wait for each
  /// other, but those of different ones do not.
  ///
  /// - Parameter scratch: room for twice as many numbers.
  func find(
    _ addresses: UnsafePointer<UInt64>, count: Int, into blocks: UnsafeMutablePointer<Int32>,
    scratch: UnsafeMutablePointer<UInt32>
  ) {
    let (places, firsts) = (scratch, scratch + count)
    let noGranule = UInt32(truncatingIfNeeded: Self.noGranule)
    for number in 0..<count { places[number] = UInt32(truncatingIfNeeded: granule(of: addresses[number])) }
    for number in 0..<count {
      firsts[number] = places[number] == noGranule ? 0 : granules[Int(places[number])]
    }
    var touched: UInt64 = 0
    for number in 0..<count {
      let first = starts + Int(firsts[number])
      touched |= first[0] | first[Self.stride &- 1]
    }
    for number in 0..<count {
      let address = addresses[number]
      let found =
        places[number] == noGranule
        ? block(of: address, lastStart: predecessorOfGap(address))
        : find(address, inGranule: Int(places[number]), from: Int(firsts[number]))
      blocks[number] = Int32(truncatingIfNeeded: found)
    }
    // The sum is used so that the compiler keeps the loads.
    if count > 0 { scratch[0] = UInt32(truncatingIfNeeded: touched) }
  }

  private static let noGranule = -1

  /// The place of the granule in `granules`; `noGranule` where no block starts in the region, and in the kernel's half of
  /// the addresses, which is nobody's.
  @inline(__always)
  private func granule(of address: UInt64) -> Int {
    let number = address >> Self.regionBits
    var place = Self.hash(number, shift: regionShift)
    while regions[place].number != number || number >> 43 != 0 {
      if regions[place].number == Self.noRegion || number >> 43 != 0 { return Self.noGranule }
      place = (place &+ 1) & regionMask
    }
    let region = regions[place]
    let offset = address & (1 << Self.regionBits &- 1)
    return Int(region.firstGranule) &+ Int(truncatingIfNeeded: offset >> UInt64(region.granuleShift))
  }

  /// Starts that are compared at once, without a branch. Behind the last start there are as many that no address reaches.
  static let stride = 4

  /// The block of an address by the first block that starts in its granule or behind it.
  @inline(__always)
  private func find(_ address: UInt64, inGranule granule: Int, from first: Int) -> Int {
    var next = first
    if Int(granules[granule &+ 1]) &- first > 32 { next = firstStart(after: address, from: next) }
    // Blocks behind the granule start behind the address: no need to know where it ends.
    while true {
      let four = starts + next
      let below =
        (four[0] <= address ? 1 : 0) &+ (four[1] <= address ? 1 : 0) &+ (four[2] <= address ? 1 : 0)
        &+ (four[3] <= address ? 1 : 0)
      next &+= below
      if below < Self.stride { return block(of: address, lastStart: next &- 1) }
    }
  }

  /// The block of an address by the last block that starts at or before it, −1 when there is none.
  @inline(__always)
  private func block(of address: UInt64, lastStart block: Int) -> Int {
    guard block >= 0 else { return -1 }
    let offset = address &- starts[block]
    if offset == 0 || offset < size(block) { return block }
    let around = nested.isEmpty ? -1 : enclosing(block, address)
    return around < 0 && offset == 8 && size(block) == 8 && address & 7 == 0 ? block : around
  }

  @inline(never)
  private func predecessorOfGap(_ address: UInt64) -> Int {
    let next = firstPosition(in: gaps) { $0.start > address }
    guard next > 0, address < gaps[next - 1].end else { return -1 }
    return Int(gaps[next - 1].predecessor)
  }

  /// The innermost block around the start of `block` that the address lies in, or −1.
  @inline(never)
  func enclosing(_ block: Int, _ address: UInt64) -> Int {
    var parent = self.parent(block)
    while parent >= 0 && address >= end(parent) { parent = self.parent(parent) }
    return parent
  }

  /// The innermost block that this one starts in, or −1.
  @inline(__always)
  func parent(_ block: Int) -> Int {
    nested.isEmpty ? -1 : parentOfNested(block)
  }

  @inline(never)
  private func parentOfNested(_ block: Int) -> Int {
    let place = firstPosition(in: nested) { $0.block >= UInt32(block) }
    guard place < nested.count, nested[place].block == UInt32(block) else { return -1 }
    return Int(nested[place].parent)
  }

  /// The first block that starts at the address; nil when none does.
  func firstBlock(at address: UInt64) -> Int? {
    let granule = granule(of: address)
    // The kernel's half of the addresses has no granules, but can be in a list of blocks all the same.
    var block = granule == Self.noGranule ? firstStart(from: address) : Int(granules[granule])
    if granule != Self.noGranule, Int(granules[granule &+ 1]) &- block > 32 {
      block = firstStart(after: address &- 1, from: block)
    }
    while starts[block] < address { block &+= 1 }
    return starts[block] == address && block < count ? block : nil
  }

  /// The first block that starts at the address or behind it; `count` when there is none.
  func firstStart(from address: UInt64) -> Int {
    address == 0 ? 0 : firstStart(after: address - 1, from: 0)
  }

  /// The first block, from a given one on, that starts behind the address; `count` when there is none.
  @inline(never)
  private func firstStart(after address: UInt64, from first: Int) -> Int {
    first + firstPosition(in: UnsafeBufferPointer(start: starts + first, count: count - first)) { $0 > address }
  }
}

/// The first position for which the predicate holds, which then holds for all behind it.
@inline(__always)
func firstPosition<Element>(in elements: UnsafeBufferPointer<Element>, _ predicate: (Element) -> Bool) -> Int {
  var low = 0
  var high = elements.count
  while low < high {
    let middle = (low &+ high) / 2
    if predicate(elements[middle]) { high = middle } else { low = middle &+ 1 }
  }
  return low
}
