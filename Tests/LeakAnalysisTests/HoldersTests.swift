import TestTools
import Testing
import TraceModel

@testable import LeakAnalysis

/// Who holds blocks: the paths from roots to them, added up.
@Suite struct HoldersTests {
  private let sketch = Sketch()

  /// The sums by tag, which is the order of drawing; holders are numbered by the address that paths begin at, or by the name.
  private func sums() -> [UInt32: [(holder: String, sum: PathSum)]] {
    let result = sketch.check { $0.notesHolders = true }
    var names: [String] = []
    let sums = result.addUpPaths { beginning in
      let name: String
      switch beginning.place {
      case .root(let root): name = "\(root.name)+\((beginning.address ?? 0) &- root.range.lowerBound)"
      case .value(let value): name = value.name
      case .unknown: name = "?"
      }
      names.append(name)
      return names.count - 1
    }
    return sums.mapValues { $0.map { (names[$0.holder], $0) } }
  }

  @Test func throughOtherBlocks() {
    let blocks = (0..<3).map { _ in sketch.block(64) }
    sketch.rootWord(1)
    sketch.rootWord(blocks[0])
    sketch.write(blocks[1], at: blocks[0] + 8)
    sketch.write(blocks[2], at: blocks[1] + 8)
    let sums = sums()
    for tag in UInt32(0)..<3 { #expect(sums[tag]?.map(\.holder) == ["program+8"]) }
    #expect(sums[0]?.first?.sum.through.map(\.tag) == [])
    #expect(sums[1]?.first?.sum.through.map(\.tag) == [0])
    #expect(sums[2]?.first?.sum.through.map(\.tag) == [0, 1])
    #expect(sums[2]?.first?.sum.held == Tally(bytes: 64, count: 1))
  }

  /// A variable holds what a register or a stack happens to lead to as well, from wherever the latter enter.
  @Test func variablesComeFirst() {
    let blocks = (0..<4).map { _ in sketch.block(64) }
    for (block, next) in zip(blocks, blocks.dropFirst()) {
      sketch.write(next, at: block)
      sketch.write(block, at: next + 8)
    }
    let stack = Root(
      range: Sketch.rootStart + 0x400..<Sketch.rootStart + 0x800, kind: .stack, name: "thread 7 (worker)")
    sketch.roots.append(stack)
    sketch.write(blocks[3], at: stack.range.lowerBound)
    sketch.values = [RootValue(value: blocks[2], kind: .registers, name: "thread 7 (worker)")]
    sketch.rootWord(blocks[0])
    let sums = sums()
    for tag in UInt32(0)..<4 { #expect(sums[tag]?.map(\.holder) == ["program+0"]) }
  }

  /// Of two frames the outer one holds what both lead to.
  @Test func outerFramesComeFirst() {
    let blocks = (0..<3).map { _ in sketch.block(64) }
    sketch.write(blocks[1], at: blocks[0])
    sketch.write(blocks[2], at: blocks[1])
    let stack = Root(range: Sketch.rootStart + 0x400..<Sketch.rootStart + 0x800, kind: .stack, name: "stack")
    sketch.roots.append(stack)
    sketch.write(blocks[1], at: stack.range.lowerBound + 8)
    sketch.write(blocks[0], at: stack.range.lowerBound + 64)
    let sums = sums()
    for tag in UInt32(0)..<3 { #expect(sums[tag]?.map(\.holder) == ["stack+64"]) }
  }

  /// Pointers into the middle only make a block possibly lost, and say who holds it all the same.
  @Test func interiorPointers() {
    let (outer, inner) = (sketch.block(64), sketch.block(64))
    sketch.rootWord(outer)
    sketch.write(inner + 21, at: outer + 16)
    #expect(sketch.kinds() == [.stillReachable, .possiblyLost])
    #expect(sums()[1]?.map(\.holder) == ["program+0"])
  }

  @Test func lostBlocksHaveNoHolder() {
    let (first, second) = (sketch.block(64), sketch.block(64))
    sketch.write(second, at: first)
    #expect(sums().isEmpty)
  }

  /// Old memory between a variable and a word in it that leads to a block: the variable is found.
  @Test func variablesBehindOldMemory() {
    let old = Root(
      range: Sketch.rootStart + 0x400..<Sketch.rootStart + 0x1000, kind: .unknownHeap, name: "heap")
    sketch.roots.append(old)
    let start = old.range.lowerBound
    // The variable → an old block → another one, in whose middle the pointer is.
    sketch.rootWord(7)
    sketch.rootWord(start + 0x100)
    sketch.write(start + 0x200, at: start + 0x108)
    let block = sketch.block(64)
    sketch.write(block, at: start + 0x210)
    let result = sketch.check { $0.notesHolders = true }
    let owners = result.oldMemoryOwners(memory: sketch.memory)
    let owner = owners.owner(of: start + 0x210)
    #expect(owner == PathBeginning(place: .root(Sketch.root), address: Sketch.rootStart + 8))
    #expect(owners.owner(of: start + 0x90) == nil)
    #expect(owners.owner(of: Sketch.rootStart + 8) == nil)
  }

  /// An object of glibc's with the head of a list in its middle: the list's entries point back to the head, which is no start of
  /// its own. Where the words around an address are no sizes, nothing is taken for one.
  @Test(arguments: [true, false]) func headInsideOfAnOldBlock(hasSize: Bool) {
    let old = Root(
      range: Sketch.rootStart + 0x400..<Sketch.rootStart + 0x1000, kind: .unknownHeap, name: "[heap]")
    sketch.roots.append(old)
    let start = old.range.lowerBound + 0x100
    sketch.rootWord(start)
    if hasSize {
      sketch.write(0x61, at: start - 8)
      sketch.write(0x31, at: start - 8 + 0x60)
    }
    let head = start + 8
    let entry = sketch.block(64)
    sketch.write(entry, at: head + 16)
    // Another object in old memory that knows the head.
    sketch.write(head, at: old.range.lowerBound + 0x800)
    let owners = sketch.check { $0.notesHolders = true }.oldMemoryOwners(memory: sketch.memory)
    let expected = PathBeginning(place: .root(Sketch.root), address: Sketch.rootStart)
    #expect(owners.owner(of: head + 16) == (hasSize ? expected : nil))
    #expect(owners.owner(of: start) == expected)
  }
}

/// Free chunks of glibc's between blocks.
@Suite struct FreeChunkTests {
  /// A link of a free chunk names the next one's header, whose first word is the last one of the block before it.
  @Test func linksAreNoPointers() {
    let sketch = Sketch()
    let heap = Root(range: Sketch.rootStart + 0x400..<Sketch.rootStart + 0x800, kind: .unknownHeap, name: "[heap]")
    sketch.roots.append(heap)
    // 600 bytes and 8 of the chunk's own are 608 bytes with the header; what follows begins 592 bytes behind the block.
    let (lost, other) = (sketch.block(600), sketch.block(600))
    sketch.write(lost + 592, at: heap.range.lowerBound)
    sketch.write(other + 584, at: heap.range.lowerBound + 8)
    #expect(sketch.kinds() == [.definitelyLost, .possiblyLost])
  }
}
