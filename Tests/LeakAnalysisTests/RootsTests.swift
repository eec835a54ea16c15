import Testing
import TraceModel

@testable import LeakAnalysis

/// What counts as a root, and for what.
@Suite struct RootsTests {
  private let sketch = Sketch()

  @Test func blocksInsideOfARootAreNoRoots() {
    let (reached, holder, lost) = (sketch.block(), sketch.block(), sketch.block())
    sketch.roots = [Root(range: Sketch.heap, kind: .unknownHeap, name: "heap")]
    sketch.write(lost, at: holder)
    sketch.write(reached, at: holder + 24)
    #expect(sketch.kinds() == [.stillReachable, .definitelyLost, .indirectlyLost])
    sketch.roots = []
    #expect(sketch.kinds() == [.definitelyLost, .definitelyLost, .indirectlyLost])
  }

  @Test func wordsCutByABlockAreNoRoots() {
    let target = sketch.block()
    let odd = sketch.block(20, at: Sketch.heapStart + 0x200)
    sketch.roots = [Root(range: Sketch.heap, kind: .unknownHeap, name: "heap")]
    sketch.write(target, at: odd + 16)
    #expect(sketch.kinds() == [.definitelyLost, .definitelyLost])
    sketch.write(target, at: odd + 24)
    #expect(sketch.kinds() == [.stillReachable, .definitelyLost])
  }

  @Test func wordsCutByTheBoundsOfARootDoNotCount() {
    let target = sketch.block()
    sketch.write(target, at: Sketch.rootStart + 8)
    for (range, kind) in [
      (9..<32, VerdictKind.definitelyLost), (0..<15, .definitelyLost), (8..<16, .stillReachable),
    ] {
      let bounds = Sketch.rootStart + UInt64(range.lowerBound)..<Sketch.rootStart + UInt64(range.upperBound)
      sketch.roots = [Root(range: bounds, kind: .globals, name: "part")]
      #expect(sketch.kinds() == [kind], "\(range)")
    }
  }

  @Test(arguments: [
    RootKind.globals, .stack, .registers, .threadLocal, .anonymous, .unknownHeap, .interpreterHeap("x"), .kernel,
  ])
  func policyLeavesKindsOut(kind: RootKind) {
    sketch.rootWord(sketch.block())
    let other = sketch.block()
    sketch.roots = [Root(range: Sketch.root.range, kind: kind, name: "")]
    sketch.values = [RootValue(value: other, kind: kind, name: "")]
    #expect(sketch.kinds() == [.stillReachable, .stillReachable])
    let policies: [RootPolicy] = [
      .globals, .stacks, .registers, .threadLocals, .anonymous, .unknownHeap, .interpreterHeaps, .kernel,
    ]
    for policy in policies {
      let isReached = policy.includes(kind)
      #expect(
        sketch.kinds { $0.roots = policy }
          == Array(repeating: isReached ? .stillReachable : .definitelyLost, count: 2))
    }
    #expect(policies.count { $0.includes(kind) } == 1)
  }

  @Test func firstOfOverlappingRootsHasTheMemory() {
    let target = sketch.block()
    sketch.write(target, at: Sketch.rootStart + 0x40)
    let arena = Root(
      range: Sketch.rootStart + 0x40..<Sketch.rootStart + 0x80, kind: .interpreterHeap("arena"), name: "arena")
    sketch.roots = [arena, Sketch.root]
    #expect(sketch.verdicts() == [BlockVerdict(kind: .stillReachable, holder: "arena")])
    sketch.roots = [Sketch.root, arena]
    #expect(sketch.verdicts() == [BlockVerdict(kind: .stillReachable)])
    // What a policy leaves out keeps its memory.
    sketch.roots = [arena, Sketch.root]
    #expect(sketch.kinds { $0.roots = .globals } == [.definitelyLost])
  }

  @Test func interpreterHeapsHoldOnlyWhatNothingElseReaches() {
    let blocks = (0..<5).map { _ in sketch.block() }
    // arena → 0 → 1, globals → 2 → 3, arena → 2, second arena → 1 and 4.
    let arenas = (0..<2).map { Sketch.rootStart + 0x200 + 0x100 * UInt64($0) }
    sketch.write(blocks[0], at: arenas[0])
    sketch.write(blocks[2], at: arenas[0] + 8)
    sketch.write(blocks[1], at: arenas[1])
    sketch.write(blocks[4], at: arenas[1] + 8)
    sketch.write(blocks[1], at: blocks[0])
    sketch.write(blocks[3], at: blocks[2])
    sketch.rootWord(blocks[2])
    sketch.roots =
      zip(arenas, ["CPython arena", "Ruby heap page"]).map {
        Root(range: $0..<$0 + 0x100, kind: .interpreterHeap($1), name: $1)
      } + sketch.roots
    #expect(
      sketch.verdicts() == [
        BlockVerdict(kind: .stillReachable, holder: "CPython arena"),
        BlockVerdict(kind: .stillReachable, holder: "CPython arena"), BlockVerdict(kind: .stillReachable),
        BlockVerdict(kind: .stillReachable), BlockVerdict(kind: .stillReachable, holder: "Ruby heap page"),
      ])
  }

  @Test func interpreterHeapIsStrongerThanAnInteriorPointer() {
    let block = sketch.block()
    sketch.rootWord(block + 4)
    sketch.values = [RootValue(value: block, kind: .interpreterHeap("V8 page"), name: "")]
    #expect(sketch.verdicts() == [BlockVerdict(kind: .stillReachable, holder: "V8 page")])
  }

  /// Blocks that a pool carved from a larger one.
  @Test func carvedBlocks() {
    let pool = sketch.block(256)
    let (first, second) = (sketch.block(32, at: pool), sketch.block(32, at: pool + 64))
    // Nothing: each of the carved blocks is lost on its own, and the first takes the pool with it.
    #expect(sketch.kinds() == [.indirectlyLost, .definitelyLost, .definitelyLost])
    // The pool's own word leads to the second only.
    sketch.write(second, at: pool + 128)
    sketch.rootWord(pool + 128)
    #expect(sketch.kinds() == [.possiblyLost, .definitelyLost, .possiblyLost])
    // Whoever reaches a carved block reaches the pool; its address is that of the first block.
    sketch.rootWord(first)
    #expect(sketch.kinds() == [.stillReachable, .stillReachable, .stillReachable])
  }

  @Test func carvedBlocksHaveTheirOwnWords() {
    let (target, other) = (sketch.block(), sketch.block())
    let pool = sketch.block(256)
    let carved = sketch.block(32, at: pool + 64)
    sketch.write(target, at: carved)
    sketch.write(other, at: pool + 96)
    sketch.rootWord(pool)
    #expect(sketch.kinds() == [.indirectlyLost, .stillReachable, .stillReachable, .definitelyLost])
    #expect(sketch.verdicts()[3].keeps == Tally(bytes: 16, count: 1))
  }

  @Test func unreadableMemoryIsReportedAndEmpty() {
    let hole = Sketch.heapStart + 0x1_0000..<Sketch.heapStart + 0x1_4000
    let scan = PointerScan(blocks: [
      LeakBlock(address: hole.lowerBound - 0x1_0000 + 16, sizeInBytes: 32),
      LeakBlock(address: hole.lowerBound, sizeInBytes: 0x3f00),
    ])
    let outcome = scan.read(roots: sketch.roots, memory: sketch.memory)
    #expect(outcome.isComplete)
    #expect(outcome.unreadable == [hole.lowerBound..<hole.lowerBound + 0x3f00])
    #expect(outcome.unreadableBytes == 0x3f00)
    #expect(outcome.scannedBytes == 32 + 0x400)
    #expect(scan.classify().tallies == [.definitelyLost: Tally(bytes: 0x3f20, count: 2)])
  }
}
