import TestTools
import Testing

@testable import LeakAnalysis

/// The table of blocks and the search in it.
@Suite struct BlockIndexTests {
  private func table(_ blocks: [LeakBlock], threads: Int = 2) -> BlockTable {
    var collector = BlockCollector()
    for (tag, block) in blocks.enumerated() { collector.append(block, tag: UInt32(tag)) }
    return BlockTable(collector, threads: threads)
  }

  /// All blocks are there, in order, and addresses around each of them are found as a plain search finds them.
  private func verify(_ blocks: [LeakBlock], threads: Int = 2, _ random: inout SplitMix64) {
    let table = table(blocks, threads: threads)
    let sorted = blocks.sorted { $0.address < $1.address }
    #expect(table.count == sorted.count)
    #expect((0..<table.count).allSatisfy { table.block($0).address == sorted[$0].address })
    #expect((0..<table.count).allSatisfy { table.index.size($0) == sorted[$0].sizeInBytes })
    #expect((0..<table.count).allSatisfy { blocks[Int(table.tag($0))].address == sorted[$0].address })
    var addresses: [UInt64] = []
    for block in sorted.shuffled(using: &random).prefix(3000) {
      let size = block.sizeInBytes
      addresses += [
        block.address, block.address - 1, block.address + size, block.address + size / 2,
        block.address + UInt64.random(in: 0...(size + 64), using: &random),
      ]
    }
    addresses += (0..<1000).map { _ in UInt64.random(in: 0...UInt64.max, using: &random) }
    var found = [Int32](repeating: 0, count: addresses.count)
    var scratch = [UInt32](repeating: 0, count: 2 * addresses.count)
    table.index.find(addresses, count: addresses.count, into: &found, scratch: &scratch)
    var mismatches = 0
    for (address, block) in zip(addresses, found) {
      let expected = plainSearch(sorted, address)
      if expected != Int(block) || expected != table.index.find(address) { mismatches += 1 }
      if expected >= 0, !table.index.filter.mayContain(address) { mismatches += 1 }
    }
    #expect(mismatches == 0)
  }

  private func plainSearch(_ sorted: [LeakBlock], _ address: UInt64) -> Int {
    let next = sorted.partitioningIndex { $0.address > address }
    guard next > 0 else { return -1 }
    let block = sorted[next - 1]
    let offset = address - block.address
    // The address behind a word counts, too.
    let isBehindWord = offset == 8 && block.sizeInBytes == 8 && address % 8 == 0
    return offset == 0 || offset < block.sizeInBytes || isBehindWord ? next - 1 : -1
  }

  @Test(arguments: [1, 2, 3]) func denseHeap(threads: Int) {
    var random = SplitMix64(state: 1)
    var address: UInt64 = 0x5555_5555_0000
    let blocks = (0..<60_000).map { _ in
      address += 16 * UInt64.random(in: 1...20, using: &random)
      return LeakBlock(address: address, sizeInBytes: UInt64.random(in: 0...16, using: &random))
    }
    verify(blocks.shuffled(using: &random), threads: threads, &random)
  }

  @Test func blocksAllOverTheAddressSpace() {
    var random = SplitMix64(state: 2)
    let addresses = Set((0..<20_000).map { _ in UInt64.random(in: 1 << 12..<1 << 47, using: &random) & ~15 })
    var blocks: [LeakBlock] = []
    for (address, next) in zip(addresses.sorted(), addresses.sorted().dropFirst()) {
      let room = next - address
      blocks.append(LeakBlock(address: address, sizeInBytes: [0, 1, room / 2, room].randomElement(using: &random)!))
    }
    verify(blocks.shuffled(using: &random), &random)
  }

  /// A region full of the smallest blocks, and regions without a start of their own.
  @Test func extremeRegions() {
    var random = SplitMix64(state: 3)
    let start: UInt64 = 0x7f00_0000_0000
    var blocks = (0..<100_000).map { LeakBlock(address: start + UInt64($0), sizeInBytes: $0 % 3 == 0 ? 0 : 1) }
    blocks.append(LeakBlock(address: start + 0x20_0000, sizeInBytes: 4 << 40))
    blocks.append(LeakBlock(address: start + 0x20_0000 + 4 << 40, sizeInBytes: 5 << 30))
    blocks.append(LeakBlock(address: 0x1000, sizeInBytes: 1 << 20))
    verify(blocks.shuffled(using: &random), &random)
  }

  @Test func innermostOfNestedBlocks() {
    let table = table([
      LeakBlock(address: 0x10_0000, sizeInBytes: 0x40_0000), LeakBlock(address: 0x10_0000, sizeInBytes: 0x100),
      LeakBlock(address: 0x20_0000, sizeInBytes: 0x1000), LeakBlock(address: 0x20_0800, sizeInBytes: 0x10),
      LeakBlock(address: 0x20_0900, sizeInBytes: 0), LeakBlock(address: 0x20_0ff0, sizeInBytes: 0x20),
    ])
    let expected: [(UInt64, Int)] = [
      (0x10_0000, 1), (0x10_00ff, 1), (0x10_0100, 0), (0x20_0000, 2), (0x20_0800, 3), (0x20_0810, 2), (0x20_0900, 4),
      (0x20_0901, 2), (0x20_100f, 5), (0x20_1010, 0), (0x4f_ffff, 0), (0x50_0000, -1), (0xf_ffff, -1),
    ]
    for (address, block) in expected { #expect(table.index.find(address) == block, "\(address)") }
    #expect((0..<6).map { table.index.parent($0) } == [-1, 0, 0, 2, 2, 2])
  }

  @Test func memoryDependsOnTheNumberOfBlocksOnly() {
    let span = table((0..<50_000).map { LeakBlock(address: 0x1000 + UInt64($0) << 30, sizeInBytes: 1 << 30) })
    let dense = table((0..<50_000).map { LeakBlock(address: 0x1000 + UInt64($0) * 16, sizeInBytes: 16) })
    #expect(dense.index.memoryBytes < 50_000 * 24 + 1 << 16)
    // Blocks with a region each, of which none starts in the next one, are the worst case.
    #expect(span.index.memoryBytes < 50_000 * 100)
  }

  @Test func collectorsAreJoined() {
    var all = BlockCollector(capacity: 70_000)
    for number in 0..<70_000 as Range<UInt64> {
      all.append(LeakBlock(address: 0x1000 + number * 32, sizeInBytes: 8), tag: UInt32(number))
    }
    for part in 1...2 as ClosedRange<UInt64> {
      var other = BlockCollector()
      for number in 0..<100 as Range<UInt64> {
        other.append(LeakBlock(address: 0x1000 + number * 32 + 8 * part, sizeInBytes: 8), tag: UInt32(part * 1000))
      }
      all.append(other)
    }
    all.append(LeakBlock(address: 8, sizeInBytes: 8, time: 5 << 20), tag: 7)
    #expect(all.count == 70_201)
    let table = BlockTable(all, threads: 2)
    #expect(table.count == 70_201)
    #expect((1..<table.count).allSatisfy { table.index.starts[$0 - 1] < table.index.starts[$0] })
    #expect(table.tag(0) == 7 && table.block(0) == LeakBlock(address: 8, sizeInBytes: 8, time: 5 << 20))
    #expect([1, 2, 3, 4].map { table.tag($0) } == [0, 1000, 2000, 1])
  }
}

extension Array {
  fileprivate func partitioningIndex(_ predicate: (Element) -> Bool) -> Int {
    withUnsafeBufferPointer { firstPosition(in: $0, predicate) }
  }
}
