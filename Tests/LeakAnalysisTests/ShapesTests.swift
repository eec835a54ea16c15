import Testing
import TraceModel

@testable import LeakAnalysis

/// The shapes that leak checkers are known by, each with its exact outcome.
@Suite struct ShapesTests {
  private let sketch = Sketch()

  /// A pair of blocks, the first leading to the second at an offset.
  private func pair(offset: UInt64) -> (UInt64, UInt64) {
    let (a, b) = (sketch.block(), sketch.block())
    sketch.write(b + offset, at: a)
    return (a, b)
  }

  @Test func nineCasesOfMemcheck() {
    let reached = sketch.block()
    sketch.rootWord(reached)
    sketch.rootWord(pair(offset: 0).0)
    sketch.block()
    _ = pair(offset: 0)
    let inner = sketch.block()
    sketch.rootWord(inner + 4)
    sketch.rootWord(pair(offset: 4).0)
    sketch.rootWord(pair(offset: 0).0 + 4)
    sketch.rootWord(pair(offset: 4).0 + 4)
    _ = pair(offset: 4)
    #expect(
      sketch.kinds() == [
        .stillReachable, .stillReachable, .stillReachable, .definitelyLost, .definitelyLost, .indirectlyLost,
        .possiblyLost, .stillReachable, .possiblyLost, .possiblyLost, .possiblyLost, .possiblyLost, .possiblyLost,
        .definitelyLost, .indirectlyLost,
      ])
  }

  @Test func chainFromRegister() {
    let blocks = (0..<5).map { _ in sketch.block() }
    for (block, next) in zip(blocks, blocks.dropFirst()) { sketch.write(next, at: block + 8) }
    sketch.values = [RootValue(value: blocks[1], kind: .registers, name: "rbx")]
    #expect(
      sketch.kinds() == [.definitelyLost, .stillReachable, .stillReachable, .stillReachable, .stillReachable])
    // What a root reaches is not lost with the block before it.
    #expect(sketch.verdicts()[0].keeps == Tally())
  }

  @Test func treeKeepsItsLeaves() {
    let tree = (0..<7).map { _ in sketch.block(24) }
    for node in 0..<3 {
      sketch.write(tree[2 * node + 1], at: tree[node])
      sketch.write(tree[2 * node + 2], at: tree[node] + 8)
    }
    let verdicts = sketch.verdicts()
    #expect(verdicts[0] == BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 6 * 24, count: 6)))
    #expect(verdicts[1...].allSatisfy { $0 == BlockVerdict(kind: .indirectlyLost) })
    #expect(
      sketch.check().tallies == [
        .definitelyLost: Tally(bytes: 24, count: 1), .indirectlyLost: Tally(bytes: 144, count: 6),
      ])
  }

  @Test func lowestBlockLeadsACycle() {
    let cycle = (0..<3).map { _ in sketch.block(32) }
    for (block, next) in zip(cycle, [cycle[1], cycle[2], cycle[0]]) { sketch.write(next, at: block) }
    #expect(
      sketch.verdicts() == [
        BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 64, count: 2)),
        BlockVerdict(kind: .indirectlyLost), BlockVerdict(kind: .indirectlyLost),
      ])
  }

  @Test func laterLeaderTakesOverACycle() {
    let cycle = (0..<2).map { _ in sketch.block(32) }
    sketch.write(cycle[1], at: cycle[0])
    sketch.write(cycle[0], at: cycle[1])
    let leader = sketch.block(48)
    sketch.write(cycle[0], at: leader)
    #expect(
      sketch.verdicts() == [
        BlockVerdict(kind: .indirectlyLost), BlockVerdict(kind: .indirectlyLost),
        BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 64, count: 2)),
      ])
  }

  @Test func cycleEnteredElsewhereKeepsItsLeader() {
    // memcheck's outcome: the first leader is taken over only by a pointer to itself.
    let cycle = (0..<2).map { _ in sketch.block(32) }
    sketch.write(cycle[1], at: cycle[0])
    sketch.write(cycle[0], at: cycle[1])
    let other = sketch.block(48)
    sketch.write(cycle[1], at: other)
    #expect(
      sketch.verdicts() == [
        BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 32, count: 1)), BlockVerdict(kind: .indirectlyLost),
        BlockVerdict(kind: .definitelyLost),
      ])
  }

  @Test func firstOfTwoLeadersKeepsWhatTheyShare() {
    let (first, second, shared) = (sketch.block(), sketch.block(), sketch.block(40))
    sketch.write(shared, at: first)
    sketch.write(shared, at: second)
    #expect(
      sketch.verdicts() == [
        BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 40, count: 1)), BlockVerdict(kind: .definitelyLost),
        BlockVerdict(kind: .indirectlyLost),
      ])
  }

  @Test func everyBlockOfACliquePointsToEveryOther() {
    let clique = (0..<5).map { _ in sketch.block(40) }
    for block in clique {
      for (place, other) in clique.enumerated() { sketch.write(other, at: block + 8 * UInt64(place)) }
    }
    let verdicts = sketch.verdicts()
    #expect(verdicts[0] == BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 160, count: 4)))
    #expect(verdicts[1...].allSatisfy { $0.kind == .indirectlyLost })
    sketch.rootWord(clique[4])
    #expect(sketch.kinds().allSatisfy { $0 == .stillReachable })
  }

  @Test func pointerToItselfHelpsNothing() {
    let block = sketch.block()
    sketch.write(block, at: block)
    sketch.write(block + 8, at: block + 8)
    #expect(sketch.verdicts() == [BlockVerdict(kind: .definitelyLost)])
  }

  @Test func possiblyLostPassesOnToAll() {
    let (first, second, third) = (sketch.block(), sketch.block(), sketch.block())
    sketch.write(second, at: first)
    sketch.write(third, at: second)
    sketch.rootWord(first + 1)
    #expect(sketch.kinds() == [.possiblyLost, .possiblyLost, .possiblyLost])
    sketch.rootWord(second)
    #expect(sketch.kinds() == [.possiblyLost, .stillReachable, .stillReachable])
  }

  @Test func interiorPointersCanBeLeftOut() {
    let (first, second) = pair(offset: 4)
    sketch.rootWord(first + 8)
    #expect(second > first)
    #expect(sketch.kinds { $0.acceptsInteriorPointers = false } == [.definitelyLost, .definitelyLost])
  }

  @Test func unalignedPointersCountOnlyWhenAskedFor() {
    let (first, second) = (sketch.block(), sketch.block())
    sketch.write(second, at: first + 3)
    sketch.write(first, at: Sketch.rootStart + 0x81)
    #expect(sketch.kinds() == [.definitelyLost, .definitelyLost])
    #expect(sketch.kinds { $0.alignment = 1 } == [.stillReachable, .stillReachable])
  }

  @Test func unalignedWordAcrossTwoWindows() {
    let block = sketch.block()
    sketch.write(block, at: Sketch.rootStart + 61)
    #expect(
      sketch.kinds {
        $0.alignment = 1
        $0.windowBytes = 64
      } == [.stillReachable])
  }

  @Test func zeroSizedBlocksAreFoundByTheirStart() {
    let (first, second) = (sketch.block(0), sketch.block(0))
    sketch.rootWord(first)
    sketch.rootWord(second + 1)
    #expect(sketch.kinds() == [.stillReachable, .definitelyLost])
  }

  @Test func pointerBehindTheEndLeadsNowhere() {
    let block = sketch.block(24)
    sketch.rootWord(block + 24)
    #expect(sketch.kinds() == [.definitelyLost])
    sketch.rootWord(block + 23)
    #expect(sketch.kinds() == [.possiblyLost])
  }

  @Test func adjacentBlocksAreNotConfused() {
    let first = sketch.block(32, at: Sketch.heapStart + 0x100)
    let second = sketch.block(32, at: first + 32)
    sketch.rootWord(second)
    #expect(sketch.kinds() == [.definitelyLost, .stillReachable])
  }

  @Test func lastWordCountsOnlyWhole() {
    let (target, other) = (sketch.block(), sketch.block())
    let whole = sketch.block(24)
    let cut = sketch.block(23)
    sketch.write(target, at: whole + 16)
    sketch.write(other, at: cut + 16)
    sketch.rootWord(whole)
    sketch.rootWord(cut)
    #expect(sketch.kinds() == [.stillReachable, .definitelyLost, .stillReachable, .stillReachable])
  }

  @Test func unalignedBlockIsSearchedAtAlignedWords() {
    let (target, other) = (sketch.block(), sketch.block())
    let odd = sketch.block(32, at: Sketch.heapStart + 0x203)
    sketch.write(target, at: Sketch.heapStart + 0x208)
    sketch.write(other, at: Sketch.heapStart + 0x213)
    sketch.rootWord(odd)
    #expect(sketch.kinds() == [.stillReachable, .definitelyLost, .stillReachable])
  }

  @Test func tallAddressesLeadNowhere() {
    sketch.block()
    sketch.block(8, at: .max - 20)
    sketch.values = [
      RootValue(value: .max, kind: .registers, name: "rax"), RootValue(value: .max - 20, kind: .registers, name: "rbx"),
    ]
    #expect(sketch.kinds() == [.definitelyLost, .definitelyLost])
  }

  @Test func noBlocksAtAll() {
    sketch.rootWord(Sketch.heapStart)
    let result = sketch.check()
    #expect(result.count == 0 && result.tallies.isEmpty && result.index(ofBlockAt: Sketch.heapStart) == nil)
  }

  @Test func verdictIsOnlyForTheSameBlock() {
    let address = sketch.block(16)
    let result = sketch.check()
    let block = sketch.blocks[0]
    #expect(result.verdict(of: block)?.kind == .definitelyLost)
    #expect(result.verdict(of: LeakBlock(address: address, sizeInBytes: 17, time: block.time)) == nil)
    #expect(result.verdict(of: LeakBlock(address: address, sizeInBytes: 16, time: block.time + 1 << 20)) == nil)
    #expect(result.verdict(of: LeakBlock(address: address + 8, sizeInBytes: 16, time: block.time)) == nil)
    #expect(result.index(ofBlockAt: address + 15) == 0 && result.index(ofBlockAt: address + 16) == nil)
  }
}
