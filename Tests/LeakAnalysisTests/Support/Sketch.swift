import TraceModel

@testable import LeakAnalysis

/// A heap drawn by hand: blocks one after another as malloc would place them, words in them, and words of a root.
final class Sketch {
  static let heapStart: UInt64 = 0x5555_5560_0000
  static let rootStart: UInt64 = 0x7fff_0000_0000
  static let heap = heapStart..<heapStart + 0x4000
  static let root = Root(range: rootStart..<rootStart + 0x400, kind: .globals, name: "program")

  let memory: FakeMemory
  private(set) var blocks: [LeakBlock] = []
  var roots = [Sketch.root]
  var values: [RootValue] = []
  var mappings: [Mapping] = []
  private var nextBlock = Sketch.heapStart + 16
  private var nextRootWord = Sketch.rootStart

  init(more areas: [Range<UInt64>] = []) {
    memory = FakeMemory([Self.heap, Self.rootStart..<Self.rootStart + 0x1000] + areas)
  }

  /// A new block, at the next address that malloc would choose unless one is given; its address.
  @discardableResult
  func block(_ size: UInt64 = 16, at address: UInt64? = nil) -> UInt64 {
    let place = address ?? nextBlock
    blocks.append(LeakBlock(address: place, sizeInBytes: size, time: UInt64(blocks.count + 1) << 20))
    if address == nil { nextBlock += max(24, (size + 8 + 15) & ~15) + 8 & ~15 }
    return place
  }

  /// Writes a word into the next place of the root.
  func rootWord(_ word: UInt64) {
    memory.write(word, at: nextRootWord)
    nextRootWord += 8
  }

  func write(_ word: UInt64, at address: UInt64) { memory.write(word, at: address) }

  /// Searches and classifies.
  func check(_ change: (inout ScanOptions) -> Void = { _ in }) -> Reachability {
    var options = ScanOptions()
    change(&options)
    let scan = PointerScan(blocks: blocks, options: options)
    _ = scan.read(roots: roots, values: values, mappings: mappings, memory: memory)
    return scan.classify()
  }

  /// The verdicts in the order in which the blocks were drawn.
  func verdicts(_ change: (inout ScanOptions) -> Void = { _ in }) -> [BlockVerdict] {
    let result = check(change)
    return blocks.map { result.verdict(of: $0) ?? BlockVerdict(kind: .unchecked) }
  }

  func kinds(_ change: (inout ScanOptions) -> Void = { _ in }) -> [VerdictKind] {
    verdicts(change).map(\.kind)
  }
}
