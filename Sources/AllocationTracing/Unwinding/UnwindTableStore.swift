import BPFRuntime
import CTraceABI
import ProcessImage

/// The unwind tables of files, in chunks of kernel memory that are created as needed.
///
/// Tables with the same content share memory, whichever files they come from. A table that nothing refers to is kept for the
/// next process that maps its file, until its memory is needed.
struct UnwindTableStore {
  /// Identifies a table in this store.
  typealias Identifier = Int

  struct Table {
    let chunk: Int
    let firstPage: Int
    let pageCount: Int
    /// Virtual address in the file at which block 0 begins.
    let textStart: UInt64
    let blockCount: Int
    let rowCount: Int
    var referenceCount = 0

    var wordCount: Int { blockCount + 1 + rowCount }
    var firstWord: UInt32 { UInt32(firstPage * Int(LT_UNWIND_PAGE_WORDS)) }
  }

  private struct Chunk {
    let pages: PageArray
    var free: ExtentAllocator
  }

  /// What tables must have in common before it is worth comparing their contents.
  private struct Shape: Hashable {
    let textStart: UInt64
    let blockCount: Int
    let rowCount: Int
  }

  /// Size in pages of the first chunks that are made for small tables; later ones are larger.
  private static let smallChunkPages = 128

  private let outer: BPFMap
  private let maximumPages: Int
  private var rules: UnwindRuleDictionary
  private var chunks: [Chunk] = []
  private var tables: [Identifier: Table] = [:]
  private var identifiersByShape: [Shape: [Identifier]] = [:]
  private var nextIdentifier = 0

  /// - Parameter maximumBytes: the most kernel memory that all chunks together may take.
  init(chunks outer: BPFMap, rules: BPFMap, maximumBytes: Int) throws(BPFError) {
    self.outer = outer
    self.maximumPages = maximumBytes / PageArray.pageSize
    self.rules = try UnwindRuleDictionary(map: rules)
  }

  /// Kernel memory taken by chunks, in bytes.
  var kernelBytes: Int { chunks.reduce(0) { $0 + $1.pages.bytes.count } }
  /// The part of it that tables use.
  var usedBytes: Int { tables.values.reduce(0) { $0 + $1.pageCount } * PageArray.pageSize }
  var tableCount: Int { tables.count }
  var ruleCount: Int { rules.count }
  var refusedRuleCount: Int { rules.refusedCount }

  subscript(identifier: Identifier) -> Table? { tables[identifier] }

  /// The rule that a table has for an address, as the walker looks it up; `tableStart` is where its block 0 is loaded.
  func rule(in identifier: Identifier, at address: UInt64, tableStart: UInt64) -> UInt64 {
    guard let table = tables[identifier], address >= tableStart else { return CFIRule.noRow }
    let offset = address - tableStart
    let block = Int(offset >> UInt64(LT_UNWIND_BLOCK_SHIFT))
    guard block < table.blockCount else { return CFIRule.noRow }
    let words = words(ofChunk: table.chunk, page: table.firstPage)
    let rows = words + table.blockCount + 1
    var low = Int(words[block])
    var high = Int(words[block + 1])
    let key = UInt32(offset & 0xff) << 24 | 0xff_ffff
    while low < high {
      let middle = (low + high) / 2
      if rows[middle] <= key { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return CFIRule.noRow }
    return rules.rule(ofCode: UInt16(truncatingIfNeeded: rows[low - 1]))
  }

  mutating func retain(_ identifier: Identifier) { tables[identifier]?.referenceCount += 1 }

  mutating func release(_ identifier: Identifier) { tables[identifier]?.referenceCount -= 1 }

  /// Stores a table, or finds one with the same content. nil if there is no room.
  mutating func add(_ table: CFITable) throws(BPFError) -> Identifier? {
    let identifiers = rules.identifiers(of: table.rules)
    let shape = Shape(
      textStart: table.textStart, blockCount: table.blockCount, rowCount: table.rows.count)
    for candidate in identifiersByShape[shape] ?? []
    where contents(of: candidate, equal: table, identifiers) {
      return candidate
    }
    let pageCount = (table.wordCount * 4 + PageArray.pageSize - 1) / PageArray.pageSize
    guard let (chunk, firstPage) = try allocate(pageCount) else { return nil }
    let words = words(ofChunk: chunk, page: firstPage)
    Self.write(table, identifiers, to: words)
    nextIdentifier += 1
    tables[nextIdentifier] = Table(
      chunk: chunk, firstPage: firstPage, pageCount: pageCount, textStart: table.textStart,
      blockCount: table.blockCount, rowCount: table.rows.count)
    identifiersByShape[shape, default: []].append(nextIdentifier)
    return nextIdentifier
  }

  /// Frees tables that nothing refers to and returns their identifiers. No program may be able to reach them any more.
  mutating func removeUnused() -> [Identifier] {
    let unused = tables.filter { $0.value.referenceCount == 0 }
    for (identifier, table) in unused {
      chunks[table.chunk].free.release(table.firstPage, table.pageCount)
      tables[identifier] = nil
      let shape = Shape(
        textStart: table.textStart, blockCount: table.blockCount, rowCount: table.rowCount)
      identifiersByShape[shape]?.removeAll { $0 == identifier }
      if identifiersByShape[shape]?.isEmpty == true { identifiersByShape[shape] = nil }
    }
    return Array(unused.keys)
  }

  // MARK: - Memory

  private mutating func allocate(_ pageCount: Int) throws(BPFError) -> (chunk: Int, page: Int)? {
    for index in chunks.indices {
      if let page = chunks[index].free.allocate(pageCount) { return (index, page) }
    }
    let available = maximumPages - kernelBytes / PageArray.pageSize
    guard pageCount <= available, chunks.count < Int(LT_UNWIND_MAX_CHUNKS) else { return nil }
    let size = max(pageCount, min(Self.smallChunkPages << min(chunks.count / 8, 5), available))
    let pages = try PageArray(name: "lt_unwind_pages", pageCount: size)
    try outer.set(pages, at: UInt32(chunks.count))
    chunks.append(Chunk(pages: pages, free: ExtentAllocator(count: size)))
    guard let page = chunks[chunks.count - 1].free.allocate(pageCount) else { return nil }
    return (chunks.count - 1, page)
  }

  private func words(ofChunk chunk: Int, page: Int) -> UnsafeMutablePointer<UInt32> {
    (chunks[chunk].pages.bytes.baseAddress! + page * PageArray.pageSize)
      .assumingMemoryBound(to: UInt32.self)
  }

  /// Writes a table in the walker's layout, with the session's rule identifiers.
  private static func write(
    _ table: CFITable, _ identifiers: [UInt16], to words: UnsafeMutablePointer<UInt32>
  ) {
    table.blockStarts.withUnsafeBufferPointer { starts in
      words.update(from: starts.baseAddress!, count: starts.count)
    }
    let rows = words + table.blockStarts.count
    table.rows.withUnsafeBufferPointer { source in
      identifiers.withUnsafeBufferPointer { identifiers in
        for index in source.indices {
          rows[index] = translated(source[index], identifiers)
        }
      }
    }
  }

  @inline(__always)
  private static func translated(
    _ row: UInt32, _ identifiers: UnsafeBufferPointer<UInt16>
  ) -> UInt32 {
    row & UInt32(LT_UNWIND_CODE_PLAIN) != 0
      ? row : row & 0xff00_0000 | UInt32(identifiers[Int(row & 0xffff)])
  }

  private func contents(
    of identifier: Identifier, equal table: CFITable, _ identifiers: [UInt16]
  ) -> Bool {
    guard let stored = tables[identifier] else { return false }
    let words = words(ofChunk: stored.chunk, page: stored.firstPage)
    let rows = words + table.blockStarts.count
    return table.blockStarts.indices.allSatisfy { words[$0] == table.blockStarts[$0] }
      && identifiers.withUnsafeBufferPointer { identifiers in
        table.rows.indices.allSatisfy {
          rows[$0] == Self.translated(table.rows[$0], identifiers)
        }
      }
  }
}
