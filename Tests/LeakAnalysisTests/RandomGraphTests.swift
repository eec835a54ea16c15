import Glibc
import TestTools
import Testing
import TraceModel

@testable import LeakAnalysis

/// Thousands of random heaps, each compared block by block with the plain rules.
@Suite struct RandomGraphTests {
  @discardableResult
  private func compare(_ heap: RandomHeap, _ options: ScanOptions, seed: UInt64) -> ReadOutcome {
    let scan = PointerScan(blocks: heap.blocks, options: options)
    let outcome = scan.read(
      roots: heap.roots, values: heap.values, mappings: heap.mappings, memory: heap.memory)
    #expect(outcome.isComplete && outcome.remainingBytes == 0, "seed \(seed)")
    let result = scan.classify()
    let expected = ReferenceCheck(
      blocks: heap.blocks, roots: heap.roots, values: heap.values, mappings: heap.mappings, memory: heap.memory,
      options: options
    ).verdicts()
    #expect(result.count == expected.count)
    var tallies: [VerdictKind: Tally] = [:]
    for number in 0..<result.count {
      let (block, tag) = result.block(number)
      #expect(block.address == heap.blocks[Int(tag)].address)
      #expect(result[number] == expected[Int(tag)], "seed \(seed), block \(number) at \(block.address)")
      tallies[expected[Int(tag)].kind, default: Tally()] += Tally(bytes: block.sizeInBytes, count: 1)
    }
    #expect(result.tallies == tallies, "seed \(seed)")
    return outcome
  }

  /// The comparison would be worth little if everything were reachable.
  @Test func heapsHoldEveryKindOfBlock() {
    var kinds: [VerdictKind: Int] = [:]
    var held = 0
    var leaders = 0
    var changedByHeuristics = 0
    var readAgain = 0
    for seed in UInt64(0)..<200 {
      let heap = RandomHeap(seed: seed)
      var plain = ScanOptions()
      plain.heuristics = []
      plain.edgeBudgetInBytes = 0
      let results = [ScanOptions(), plain].map { options in
        let scan = PointerScan(blocks: heap.blocks, options: options)
        let outcome = scan.read(roots: heap.roots, values: heap.values, mappings: heap.mappings, memory: heap.memory)
        readAgain += outcome.readBlocksAgain ? 1 : 0
        return scan.classify()
      }
      for number in 0..<results[0].count {
        let verdict = results[0][number]
        kinds[verdict.kind, default: 0] += 1
        held += verdict.holder == nil ? 0 : 1
        leaders += verdict.keeps.count > 0 ? 1 : 0
        changedByHeuristics += verdict.kind == results[1][number].kind ? 0 : 1
      }
    }
    for kind in VerdictKind.allCases where kind != .unchecked { #expect(kinds[kind, default: 0] > 200, "\(kind)") }
    #expect(held > 100)
    #expect(leaders > 100)
    #expect(changedByHeuristics > 20)
    // A heap of 40 blocks fits into any budget. On a busy host the room of one of the threads can run out all the same;
    // then a block is read once more, which changes no verdict.
    #expect(readAgain < 10, "of 400 searches")
  }

  /// Random heaps for each part of a test; LEAKTRACE_RANDOM_HEAPS=250 tries all that were ever tried.
  private static let heapsPerPart = getenv("LEAKTRACE_RANDOM_HEAPS").flatMap { UInt64(String(cString: $0)) } ?? 15

  @Test(arguments: 0..<8) func smallHeaps(part: UInt64) {
    for seed in part * 250..<part * 250 + Self.heapsPerPart {
      var options = ScanOptions()
      options.threads = 1
      compare(RandomHeap(seed: seed), options, seed: seed)
    }
  }

  @Test(arguments: 0..<4) func allOptions(part: UInt64) {
    for seed in 10_000 + part * 250..<10_000 + part * 250 + Self.heapsPerPart {
      var random = SplitMix64(state: ~seed)
      var options = ScanOptions()
      options.threads = Int.random(in: 1...3, using: &random)
      options.alignment = Bool.random(using: &random) ? 8 : 1
      options.acceptsInteriorPointers = Int.random(in: 0..<4, using: &random) > 0
      options.heuristics = PointerHeuristics(rawValue: UInt8.random(in: 0..<16, using: &random))
      options.roots = RootPolicy(
        rawValue: UInt16.random(in: 0..<256, using: &random) | UInt16.random(in: 0..<256, using: &random))
      options.windowBytes = [16, 64, 4096, 1 << 19].randomElement(using: &random)!
      options.retainsSources = Int.random(in: 0..<4, using: &random) == 0
      compare(RandomHeap(seed: seed), options, seed: seed)
    }
  }

  @Test(arguments: 0..<4) func tinyBudgets(part: UInt64) {
    var readAgain = 0
    for seed in 20_000 + part * 100..<20_000 + part * 100 + min(100, Self.heapsPerPart) {
      var random = SplitMix64(state: ~seed)
      var options = ScanOptions()
      options.threads = Int.random(in: 1...3, using: &random)
      options.windowBytes = [64, 4096, 1 << 19].randomElement(using: &random)!
      options.edgeBudgetInBytes = [0, 256, 512].randomElement(using: &random)!
      let outcome = compare(RandomHeap(seed: seed, blocks: 120), options, seed: seed)
      readAgain += outcome.readBlocksAgain ? 1 : 0
    }
    #expect(readAgain * 2 > min(100, Int(Self.heapsPerPart)))
  }
}
