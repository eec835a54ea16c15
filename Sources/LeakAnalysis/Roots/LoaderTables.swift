import ProcessImage

/// The dynamic loader's tables of objects, for finding the one that an address lies in. It aligns each to 64 or 128 bytes,
/// as the build of the C library has it, inside of a block of malloc's, and keeps the block's address in the table only.
enum LoaderTables {
  private static let leastAlignment: UInt64 = 64
  private static let mostAlignment: UInt64 = 128
  private static let mostTables = 64

  /// The addresses of the blocks of tables that the loader's data lead to. `struct dlfo_mappings_segment` of glibc since
  /// 2.35: the table before, the block's address, how many places are taken and how many there are.
  static func blocks(in data: Range<UInt64>, memory: some MemoryReader) -> [UInt64] {
    guard data.upperBound - data.lowerBound <= 1 << 20 else { return [] }
    var found: [UInt64] = []
    var tables = memory.words(at: data.lowerBound, count: Int(data.upperBound - data.lowerBound) / 8)
      .filter { $0 > 4096 && $0 % leastAlignment == 0 && $0 < 1 << 47 && !data.contains($0) }
    var looked = 0
    while let table = tables.popLast(), looked < 4096, found.count < mostTables {
      looked += 1
      let words = memory.words(at: table, count: 4)
      guard words.count == 4, words[1] > 4096, words[1] <= table, table - words[1] <= mostAlignment,
        words[2] <= words[3], words[3] > 0,
        words[3] < 1 << 32, !found.contains(words[1])
      else { continue }
      found.append(words[1])
      if words[0] > 4096, words[0] % leastAlignment == 0 { tables.append(words[0]) }
    }
    return found
  }
}
