/// Finds the block that an address belongs to, in a few nanoseconds. Pointers into the memory of a `BlockTable`.
///
/// Address space is cut into regions of 1 MiB; those in which blocks start are in a hash table, and each of them is cut
/// into granules that hold about four blocks, so that the memory needed depends on the number of blocks alone, whatever
/// the span of addresses.
struct BlockIndex: @unchecked Sendable {
  let count: Int
  /// Ascending; one more than there are blocks, the last `UInt64.max`.
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
  var nested = UnsafeBufferPointer<NestedBlock>(start: nil, count: 0)
  /// No block lies outside of these two ranges: most addresses of a process are in neither.
  let filter: AddressFilter

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
    largeSizes[partition(largeSizes) { $0.block >= UInt32(block) }].size
  }

  /// The innermost block that the address is the start of or lies in, or −1.
  @inline(__always)
  func find(_ address: UInt64) -> Int {
    let block = lastStart(notAbove: address)
    guard block >= 0 else { return -1 }
    let offset = address &- starts[block]
    if offset == 0 || offset < size(block) { return block }
    return nested.isEmpty ? -1 : enclosing(block, address)
  }

  /// The last block that starts at or before the address; −1 when there is none, or certainly none that reaches so far.
  @inline(__always)
  func lastStart(notAbove address: UInt64) -> Int {
    let number = address >> Self.regionBits
    var place = Self.hash(number, shift: regionShift)
    while regions[place].number != number {
      if regions[place].number == Self.noRegion { return predecessorOfGap(address) }
      place = (place &+ 1) & regionMask
    }
    let region = regions[place]
    let granule =
      Int(region.firstGranule)
      &+ Int(truncatingIfNeeded: (address & (1 << Self.regionBits &- 1)) >> UInt64(region.granuleShift))
    let low = Int(granules[granule])
    var high = Int(granules[granule &+ 1])
    if high &- low > 16 {
      var from = low
      while from < high {
        let middle = (from &+ high) >> 1
        if starts[middle] > address { high = middle } else { from = middle &+ 1 }
      }
    } else {
      while high > low && starts[high &- 1] > address { high &-= 1 }
    }
    return high &- 1
  }

  @inline(never)
  private func predecessorOfGap(_ address: UInt64) -> Int {
    let next = partition(gaps) { $0.start > address }
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
    let place = partition(nested) { $0.block >= UInt32(block) }
    guard place < nested.count, nested[place].block == UInt32(block) else { return -1 }
    return Int(nested[place].parent)
  }

  /// The first block that starts at the address or behind it; `count` when there is none.
  func firstStart(from address: UInt64) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] >= address { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// Two ranges of addresses as their starts and lengths: an address is inside when it is less than a length away.
struct AddressFilter: BitwiseCopyable, Sendable {
  let low: UInt64
  let lowLength: UInt64
  let high: UInt64
  let highLength: UInt64

  @inline(__always)
  func mayContain(_ address: UInt64) -> Bool {
    (address &- low < lowLength) != (address &- high < highLength)
  }
}

/// The first position for which the predicate holds, which then holds for all behind it.
@inline(__always)
func partition<Element>(_ elements: UnsafeBufferPointer<Element>, _ predicate: (Element) -> Bool) -> Int {
  var low = 0
  var high = elements.count
  while low < high {
    let middle = (low &+ high) / 2
    if predicate(elements[middle]) { high = middle } else { low = middle &+ 1 }
  }
  return low
}
