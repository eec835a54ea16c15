import Glibc
import Testing
import TraceModel

@testable import LeakAnalysis

/// Heaps with more pointers than there is memory for, and searches that are cut short.
@Suite struct RereadingTests {
  private static let start: UInt64 = 0x7f00_0000_0000
  private static let size: UInt64 = 256

  /// Blocks of 32 words; `pointers` gives the numbers of the blocks that each one points to, as many as fit.
  private struct Heap {
    let blocks: [LeakBlock]
    let memory: FakeMemory
    let root: Root

    init(_ count: Int, root first: Int?, pointers: (Int) -> [Int]) {
      let start = RereadingTests.start
      let size = RereadingTests.size
      blocks = (0..<count).map { LeakBlock(address: start + UInt64($0) * size, sizeInBytes: size) }
      let end = start + UInt64(count) * size
      memory = FakeMemory([start..<end + 0x1000])
      root = Root(range: end..<end + 8, kind: .globals, name: "root")
      if let first { memory.write(blocks[first].address, at: end) }
      for (number, block) in blocks.enumerated() {
        for (place, target) in pointers(number).enumerated() {
          memory.write(blocks[target].address, at: block.address + UInt64(place) * 8)
        }
      }
    }
  }

  private func check(_ heap: Heap, budget: Int?) -> (result: Reachability, outcome: ReadOutcome, scan: PointerScan) {
    var options = ScanOptions()
    options.edgeBudgetInBytes = budget
    let scan = PointerScan(blocks: heap.blocks, options: options)
    let outcome = scan.read(roots: [heap.root], memory: heap.memory)
    return (scan.classify(), outcome, scan)
  }

  /// The whole heap is a list that ends where the search begins, and each block points to many others of the list.
  @Test func denseListFromBehind() {
    let heap = Heap(800, root: 799) { number in (1...16).compactMap { number >= $0 ? number - $0 : nil } }
    let (result, outcome, scan) = check(heap, budget: 1024)
    #expect(outcome.readBlocksAgain && outcome.isComplete)
    #expect(outcome.scannedBytes == 800 * Self.size + 8)
    #expect(result.tallies == [.stillReachable: Tally(bytes: 800 * Self.size, count: 800)])
    #expect(scan.edgeBytes <= 1024)
    #expect(check(heap, budget: nil).outcome.readBlocksAgain == false)
  }

  /// A list through blocks in random order takes more rounds than are made: the rest is read block by block.
  @Test func scatteredListIsFollowedBlockByBlock() {
    // Each block leads to the one 401 places behind it, modulo 1,000: all are on one cycle.
    let heap = Heap(1000, root: 0) { number in [(number + 599) % 1000] + Array(repeating: number, count: 3) }
    let (result, outcome, _) = check(heap, budget: 0)
    #expect(outcome.readBlocksAgain)
    #expect(result.tallies == [.stillReachable: Tally(bytes: 1000 * Self.size, count: 1000)])
    #expect(heap.memory.readCount > 500)
  }

  /// Nothing is reached, and the pointers among lost blocks are more than the budget: all are needed.
  @Test func denseLostCliques() {
    let heap = Heap(640, root: nil) { number in (0..<32).map { number / 32 * 32 + $0 } }
    let (result, outcome, _) = check(heap, budget: 512)
    #expect(outcome.readBlocksAgain)
    #expect(
      result.tallies == [
        .definitelyLost: Tally(bytes: 20 * Self.size, count: 20),
        .indirectlyLost: Tally(bytes: 620 * Self.size, count: 620),
      ])
    #expect(result[32] == BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 31 * Self.size, count: 31)))
  }

  /// More interior pointers in roots than wait for their blocks.
  @Test func manyInteriorPointersInRoots() {
    let count = 20_000
    let heapEnd = Self.start + UInt64(count) * 32
    let memory = FakeMemory([Self.start..<heapEnd + UInt64(count) * 8])
    let blocks = (0..<count).map { LeakBlock(address: Self.start + UInt64($0) * 32, sizeInBytes: 24) }
    for (number, block) in blocks.enumerated() {
      // What `new[]` of two elements looks like, or of none.
      memory.write(number % 2 == 0 ? 2 : 0, at: block.address)
      memory.write(block.address + 8, at: heapEnd + UInt64(number) * 8)
    }
    var options = ScanOptions()
    options.edgeBudgetInBytes = 0
    let scan = PointerScan(blocks: blocks, options: options)
    let root = Root(range: heapEnd..<heapEnd + UInt64(count) * 8, kind: .unknownHeap, name: "")
    #expect(scan.read(roots: [root], memory: memory).readBlocksAgain)
    #expect(
      scan.classify().tallies == [
        .stillReachable: Tally(bytes: 24 * 10_000, count: 10_000),
        .possiblyLost: Tally(bytes: 24 * 10_000, count: 10_000),
      ])
  }

  // MARK: Deadlines

  @Test func deadlineThatHasPassed() {
    let heap = Heap(100, root: 0) { $0 < 50 ? [$0 + 1] : [] }
    let scan = PointerScan(blocks: heap.blocks)
    let outcome = scan.read(roots: [heap.root], memory: heap.memory, deadline: .now)
    #expect(!outcome.isComplete && outcome.scannedBytes == 0)
    #expect(outcome.remainingBytes == 100 * Self.size + 8)
    #expect(heap.memory.readBytes == 0)
    let rest = scan.read(roots: [heap.root], memory: heap.memory)
    #expect(rest.isComplete && rest.remainingBytes == 0 && rest.scannedBytes == 100 * Self.size + 8)
    #expect(
      scan.classify().tallies == [
        .stillReachable: Tally(bytes: 51 * Self.size, count: 51),
        .definitelyLost: Tally(bytes: 49 * Self.size, count: 49),
      ])
  }

  /// Memory that takes its time.
  private struct SlowMemory: ScannableMemory {
    let memory: FakeMemory
    func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
      poll(nil, 0, 1)
      return memory.read(at: address, into: buffer)
    }
  }

  @Test(arguments: [nil, 0]) func goingOnAfterDeadlines(budget: Int?) {
    let heap = Heap(1000, root: 0) { number in [(number + 599) % 999, (number + 7) % 999] }
    var options = ScanOptions()
    options.windowBytes = 4096
    options.edgeBudgetInBytes = budget
    let scan = PointerScan(blocks: heap.blocks, options: options)
    let memory = SlowMemory(memory: heap.memory)
    var calls = 0
    var scanned: UInt64 = 0
    var isComplete = false
    while !isComplete, calls < 1000 {
      calls += 1
      let outcome = scan.read(roots: [heap.root], memory: memory, deadline: .now + .milliseconds(4))
      #expect(outcome.scannedBytes >= scanned)
      #expect(outcome.isComplete == (outcome.remainingBytes == 0))
      scanned = outcome.scannedBytes
      isComplete = outcome.isComplete
    }
    #expect(isComplete && calls > 3 && scanned == 1000 * Self.size + 8)
    #expect(
      scan.classify().tallies == [
        .stillReachable: Tally(bytes: 999 * Self.size, count: 999),
        .definitelyLost: Tally(bytes: Self.size, count: 1),
      ])
  }

  @Test func incompleteSearchCallsNothingLost() {
    let heap = Heap(1000, root: 0) { number in [(number + 1) % 500] }
    var options = ScanOptions()
    options.windowBytes = 4096
    options.threads = 1
    let scan = PointerScan(blocks: heap.blocks, options: options)
    let arena = Root(range: heap.root.range, kind: .interpreterHeap("arena"), name: "arena")
    let outcome = scan.read(
      roots: [arena], values: [RootValue(value: heap.blocks[3].address, kind: .registers, name: "rax")],
      memory: SlowMemory(memory: heap.memory), deadline: .now + .milliseconds(5))
    #expect(!outcome.isComplete && outcome.scannedBytes > 0)
    let result = scan.classify()
    #expect(result[3] == BlockVerdict(kind: .stillReachable) && result[10].kind == .stillReachable)
    #expect(result[999].kind == .unchecked)
    #expect(Set(result.tallies.keys) == [.stillReachable, .unchecked])
  }
}
