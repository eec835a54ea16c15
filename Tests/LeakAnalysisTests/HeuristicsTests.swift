import Testing
import TraceModel

@testable import LeakAnalysis

/// Interior pointers that count as pointers to the start.
@Suite struct HeuristicsTests {
  private static let code: UInt64 = 0x5600_0000_0000
  private static let data = code + 0x1000
  private let sketch = Sketch(more: [data..<data + 0x1000])

  init() {
    func mapping(_ start: UInt64, _ permissions: Mapping.Permissions) -> Mapping {
      Mapping(
        start: start, end: start + 0x1000, fileOffset: 0, permissions: permissions, device: 1, inode: 3,
        path: "/lib/shapes.so", isDeleted: false)
    }
    sketch.mappings = [mapping(Self.code, [.read, .execute]), mapping(Self.data, [.read])]
  }

  /// A block with these words at its start that only a pointer to an offset leads to.
  private func block(_ size: UInt64, _ words: [UInt64], offset: UInt64) {
    let block = sketch.block(size)
    for (place, word) in words.enumerated() { sketch.write(word, at: block + 8 * UInt64(place)) }
    sketch.rootWord(block + offset)
  }

  private func kinds(_ heuristics: PointerHeuristics) -> [VerdictKind] {
    sketch.kinds { $0.heuristics = heuristics }
  }

  @Test func standardString() {
    // length, capacity, count, characters, the zero behind them
    block(24 + 9 + 1, [5, 9], offset: 24)
    block(24 + 9 + 1, [10, 9], offset: 24)
    block(24 + 9 + 2, [5, 9], offset: 24)
    block(24 + 9 + 1, [5, 9], offset: 16)
    #expect(kinds(.standardString) == [.stillReachable, .possiblyLost, .possiblyLost, .possiblyLost])
    #expect(kinds(.all.subtracting(.standardString)) == Array(repeating: .possiblyLost, count: 4))
  }

  @Test func length64() {
    block(40, [32], offset: 8)
    block(40, [31], offset: 8)
    block(40, [32], offset: 16)
    #expect(kinds(.length64) == [.stillReachable, .possiblyLost, .possiblyLost])
    #expect(kinds(.standardString) == Array(repeating: .possiblyLost, count: 3))
  }

  @Test func newArray() {
    block(8 + 5 * 24, [5], offset: 8)
    block(8 + 5 * 24 + 1, [5], offset: 8)
    block(8 + 5 * 24, [0], offset: 8)
    block(8 + 5 * 24, [5], offset: 9)
    #expect(kinds(.newArray) == [.stillReachable, .possiblyLost, .possiblyLost, .possiblyLost])
    #expect(kinds(.length64) == Array(repeating: .possiblyLost, count: 4))
  }

  /// Of an array without elements only their number is allocated: its address is the one behind the block.
  @Test func emptyArray() {
    block(8, [0], offset: 8)
    block(8, [1], offset: 8)
    block(16, [0], offset: 16)
    block(8, [0], offset: 4)
    #expect(kinds(.newArray) == [.stillReachable, .definitelyLost, .definitelyLost, .possiblyLost])
    #expect(
      kinds(.all.subtracting(.newArray)) == [.definitelyLost, .definitelyLost, .definitelyLost, .possiblyLost])
  }

  /// The same behind a pointer in another block, which is lost, and inside of a larger block.
  @Test func emptyArrayInBlocks() {
    let holder = sketch.block(32)
    let empty = sketch.block(8)
    let full = sketch.block(8)
    sketch.write(1, at: full)
    sketch.write(empty + 8, at: holder)
    sketch.write(full + 8, at: holder + 8)
    #expect(kinds(.newArray) == [.definitelyLost, .indirectlyLost, .definitelyLost])
  }

  /// Tables: two functions; a null pointer between them; one function; something that is no function.
  private func makeTables() -> [UInt64] {
    let tables = (0..<4).map { Self.data + 0x100 * UInt64($0) }
    for (table, words) in zip(
      tables, [[Self.code + 1, Self.code + 2], [Self.code, 0, Self.code], [Self.code], [Self.code, 3, Self.code]])
    {
      for (place, word) in words.enumerated() { sketch.write(word, at: table + 8 * UInt64(place)) }
    }
    return tables
  }

  @Test func multipleInheritance() {
    let tables = makeTables()
    block(64, [tables[0], 0, tables[1]], offset: 16)
    block(64, [tables[0], 0, tables[1]], offset: 24)
    block(64, [tables[0], 0, tables[2]], offset: 16)
    block(64, [tables[3], 0, tables[0]], offset: 16)
    block(64, [tables[0], 0, Self.code], offset: 16)
    #expect(
      kinds(.multipleInheritance)
        == [.stillReachable, .possiblyLost, .possiblyLost, .possiblyLost, .possiblyLost])
    sketch.mappings = []
    #expect(kinds(.multipleInheritance) == Array(repeating: .possiblyLost, count: 5))
  }

  /// A table may be at the end of its mapping, and only the first 21 words count.
  @Test func tableIsSearchedAsFarAsMemcheckDoes() {
    let (last, long, longer) = (Self.data + 0xff0, Self.data + 0x400, Self.data + 0x500)
    sketch.write(Self.code, at: last)
    sketch.write(Self.code, at: last + 8)
    for (table, place) in [(long, UInt64(20)), (longer, 21)] {
      sketch.write(Self.code, at: table)
      sketch.write(Self.code, at: table + 8 * place)
    }
    for table in [last, long, longer] { block(32, [table, 0, table], offset: 16) }
    #expect(kinds(.multipleInheritance) == [.stillReachable, .stillReachable, .possiblyLost])
  }

  /// Objects larger than what is read at once.
  @Test func baseInAnotherWindow() {
    let table = makeTables()[0]
    block(256, [table], offset: 200)
    sketch.write(table, at: sketch.blocks[0].address + 200)
    #expect(
      sketch.kinds {
        $0.heuristics = .multipleInheritance
        $0.windowBytes = 64
      } == [.stillReachable])
  }

  @Test func heuristicsCountBetweenBlocks() {
    let array = sketch.block(8 + 4 * 16)
    sketch.write(4, at: array)
    let (holder, target) = (sketch.block(), sketch.block())
    sketch.write(array + 8, at: holder)
    sketch.write(target, at: array + 16)
    #expect(sketch.kinds() == [.indirectlyLost, .definitelyLost, .indirectlyLost])
    // Without interior pointers only those that a heuristic knows are left.
    #expect(
      sketch.kinds {
        $0.acceptsInteriorPointers = false
        $0.heuristics = .newArray
      } == [.indirectlyLost, .definitelyLost, .indirectlyLost])
    sketch.rootWord(holder)
    #expect(sketch.kinds() == [.stillReachable, .stillReachable, .stillReachable])
    #expect(sketch.kinds { $0.heuristics = [] } == [.possiblyLost, .stillReachable, .possiblyLost])
  }
}
