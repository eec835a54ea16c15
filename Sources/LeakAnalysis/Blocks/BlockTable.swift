/// Blocks in ascending order of address, indexed for `BlockIndex`. Immutable.
///
/// About 23 bytes a block: start 8, size 4, time 4, tag 4, and the index.
final class BlockTable: @unchecked Sendable {
  let index: BlockIndex
  // In the memory that the index keeps.
  private let ticks: UnsafeMutablePointer<UInt32>
  private let tags: UnsafeMutablePointer<UInt32>

  private var spare: PageMemory?

  var count: Int { index.count }

  /// Sorts the blocks with this many threads.
  init(_ blocks: consuming BlockCollector, threads: Int) {
    let sorter = BlockSorter(blocks, threads: threads)
    let granules = sorter.sort()
    index = BlockIndex(sorter, granules: granules)
    ticks = sorter.ticks
    tags = sorter.tags
    spare = sorter.takeRecords()
  }

  /// The memory that sorting needed. It can be taken once.
  func takeSpare() -> PageMemory? { spare.take() }

  /// The block of a number; its time is rounded down to units of 2^20 ns.
  func block(_ number: Int) -> LeakBlock {
    LeakBlock(
      address: index.starts[number], sizeInBytes: index.size(number), time: UInt64(ticks[number]) << 20)
  }

  func tag(_ number: Int) -> UInt32 { tags[number] }
  func tick(_ number: Int) -> UInt32 { ticks[number] }
}
