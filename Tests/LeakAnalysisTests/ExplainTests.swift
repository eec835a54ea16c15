import TestTools
import Testing
import TraceModel

@testable import LeakAnalysis

/// Paths from roots to blocks.
@Suite struct ExplainTests {
  private let sketch = Sketch()

  private func explain(_ address: UInt64, _ change: (inout ScanOptions) -> Void = { _ in }) -> [ExplanationStep]? {
    sketch.check {
      $0.retainsSources = true
      change(&$0)
    }.explain(address: address)
  }

  @Test func shortestPathFromARoot() {
    let blocks = (0..<4).map { _ in sketch.block(64) }
    sketch.write(blocks[1], at: blocks[0] + 24)
    sketch.write(blocks[2], at: blocks[1] + 8)
    sketch.write(blocks[3], at: blocks[2])
    sketch.write(blocks[3], at: blocks[1] + 56)
    sketch.rootWord(1)
    sketch.rootWord(blocks[0])
    let drawn = sketch.blocks
    #expect(
      explain(blocks[3] + 5) == [
        ExplanationStep(
          holder: .root(Sketch.root, address: Sketch.rootStart + 8), pointer: blocks[0], target: drawn[0], link: .start),
        ExplanationStep(holder: .block(drawn[0], offset: 24), pointer: blocks[1], target: drawn[1], link: .start),
        ExplanationStep(holder: .block(drawn[1], offset: 56), pointer: blocks[3], target: drawn[3], link: .start),
      ])
    #expect(explain(blocks[0])?.count == 1)
    #expect(explain(Sketch.heapStart) == nil)
  }

  @Test func pathFromARegister() {
    let (first, second) = (sketch.block(), sketch.block())
    sketch.write(second, at: first + 8)
    let value = RootValue(value: first, kind: .registers, name: "thread 7: rbx")
    sketch.values = [value]
    #expect(
      explain(second) == [
        ExplanationStep(holder: .value(value), pointer: first, target: sketch.blocks[0], link: .start),
        ExplanationStep(
          holder: .block(sketch.blocks[0], offset: 8), pointer: second, target: sketch.blocks[1], link: .start),
      ])
  }

  /// A path of pointers to starts is preferred to a shorter one that makes a block only possibly reachable.
  @Test func strongestPath() {
    let (first, second) = (sketch.block(), sketch.block())
    sketch.write(second, at: first)
    sketch.rootWord(second + 4)
    sketch.rootWord(first)
    let steps = explain(second)
    #expect(steps?.count == 2 && steps?.last?.link == .start)
  }

  @Test func interiorPointersAndHeuristics() {
    let (array, inner, plain) = (sketch.block(8 + 4 * 16), sketch.block(64), sketch.block(64))
    sketch.write(4, at: array)
    sketch.write(inner + 8, at: array + 16)
    sketch.write(plain + 3, at: inner)
    sketch.rootWord(array + 8)
    let drawn = sketch.blocks
    #expect(
      explain(plain) == [
        ExplanationStep(
          holder: .root(Sketch.root, address: Sketch.rootStart), pointer: array + 8, target: drawn[0], link: .heuristic),
        ExplanationStep(holder: .block(drawn[0], offset: 16), pointer: inner + 8, target: drawn[1], link: .interior),
        ExplanationStep(holder: .block(drawn[1], offset: 0), pointer: nil, target: drawn[2], link: .interior),
      ])
  }

  @Test func oddPlaces() {
    let (first, second) = (sketch.block(40, at: Sketch.heapStart + 0x103), sketch.block())
    sketch.write(second, at: first + 5)
    sketch.rootWord(first)
    #expect(explain(second)?.last?.holder == .block(sketch.blocks[0], offset: 5))
    sketch.write(0, at: first + 5)
    sketch.write(second, at: first + 2)
    #expect(explain(second) == nil)
    #expect(explain(second) { $0.alignment = 1 }?.last?.holder == .block(sketch.blocks[0], offset: 2))
  }

  @Test func carvedBlocksLeadToWhatTheyLieIn() {
    let pool = sketch.block(256)
    let carved = sketch.block(32, at: pool + 64)
    sketch.rootWord(carved)
    let steps = explain(pool)
    #expect(steps?.map(\.target) == [sketch.blocks[1], sketch.blocks[0]])
    #expect(steps?.last?.holder == .carved(sketch.blocks[1]))
  }

  @Test func interpretersHeap() {
    let (first, second) = (sketch.block(), sketch.block())
    sketch.write(second, at: first)
    let arena = Root(
      range: Sketch.rootStart + 0x40..<Sketch.rootStart + 0x80, kind: .interpreterHeap("arena"), name: "arena 1")
    sketch.roots = [arena, Sketch.root]
    sketch.write(first, at: Sketch.rootStart + 0x48)
    #expect(explain(second)?.first?.holder == .root(arena, address: Sketch.rootStart + 0x48))
  }

  @Test func lostBlocksFromTheirLeader() {
    let blocks = (0..<3).map { _ in sketch.block(32) }
    sketch.write(blocks[1], at: blocks[0] + 16)
    sketch.write(blocks[2], at: blocks[1])
    let steps = explain(blocks[2])
    #expect(steps?.map(\.holder) == [.block(sketch.blocks[0], offset: 16), .block(sketch.blocks[1], offset: 0)])
    #expect(explain(blocks[0]) == nil)
  }

  /// Every reachable block has a path, and each step of it is a pointer that is really there.
  @Test func pathsOfRandomHeaps() {
    for seed in UInt64(50_000)..<50_150 {
      let heap = RandomHeap(seed: seed)
      var options = ScanOptions()
      options.retainsSources = true
      options.threads = Int(seed % 3) + 1
      options.alignment = seed % 4 == 0 ? 1 : 8
      let scan = PointerScan(blocks: heap.blocks, options: options)
      _ = scan.read(roots: heap.roots, values: heap.values, mappings: heap.mappings, memory: heap.memory)
      let result = scan.classify()
      for number in 0..<result.count {
        let verdict = result[number]
        let address = result.block(number).block.address
        // Of blocks at one address only the innermost is found by it.
        guard result.index(ofBlockAt: address) == number else { continue }
        let steps = result.explain(address: address)
        #expect((steps == nil) == (verdict.kind == .definitelyLost), "seed \(seed), block \(number)")
        if let steps { verify(steps, verdict, heap, seed: seed) }
      }
    }
  }

  private func verify(_ steps: [ExplanationStep], _ verdict: BlockVerdict, _ heap: RandomHeap, seed: UInt64) {
    var previous: LeakBlock?
    for step in steps {
      switch step.holder {
      case .root(let root, let address):
        #expect(previous == nil && root.range.contains(address), "seed \(seed)")
        #expect(heap.memory.value(at: address, as: UInt64.self) == step.pointer, "seed \(seed)")
        #expect(verdict.holder == nil || root.kind == .interpreterHeap(verdict.holder!), "seed \(seed)")
      case .value(let value):
        #expect(previous == nil && value.value == step.pointer, "seed \(seed)")
      case .block(let block, let offset):
        #expect(previous == block || previous == nil && verdict.kind == .indirectlyLost, "seed \(seed)")
        let word = heap.memory.value(at: block.address + offset, as: UInt64.self) ?? 0
        #expect(step.pointer ?? word == word, "seed \(seed)")
        let size = step.target.sizeInBytes
        #expect(word &- step.target.address < max(1, size == 8 ? 9 : size), "seed \(seed)")
        #expect((step.link == .start) == (word == step.target.address), "seed \(seed)")
      case .carved(let block):
        #expect(previous == block || previous == nil && verdict.kind == .indirectlyLost, "seed \(seed)")
        #expect(block.address &- step.target.address < step.target.sizeInBytes, "seed \(seed)")
      }
      if verdict.kind == .stillReachable { #expect(step.link != .interior, "seed \(seed)") }
      previous = step.target
    }
  }
}
