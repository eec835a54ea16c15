import CElfUtils

/// A symbol's name with its GNU hash, which is computed once and then looked up in many objects.
package struct HashedSymbolName: Hashable, Sendable {
  package let text: String
  let bytes: [UInt8]
  let hash: UInt32

  package init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
    hash = Self.gnuHash(bytes)
  }

  /// The hash function of `DT_GNU_HASH`, which is Bernstein's: it starts at 5381, and multiplies by 33 for each byte.
  static func gnuHash(_ bytes: some Sequence<UInt8>) -> UInt32 {
    bytes.reduce(5381) { $0 &* 33 &+ UInt32($1) }
  }

  func equals(_ name: UnsafePointer<CChar>) -> Bool {
    for index in bytes.indices where UInt8(bitPattern: name[index]) != bytes[index] { return false }
    return name[bytes.count] == 0
  }
}

/// The hash table `DT_GNU_HASH` of an object. A few memory accesses are enough to find that a name is not among the
/// object's dynamic symbols.
///
/// Every offset is checked, so that a hostile table leads to wrong symbols or none, but never to a bad access or an
/// endless walk.
package struct ElfSymbolHashTable {
  private let file: ElfFile
  private let symbols: ElfFile.SymbolTableView
  private let table: UnsafeRawBufferPointer
  private let bucketCount: UInt64
  private let firstHashed: UInt64
  private let filterWords: UInt64
  private let filterShift: UInt32
  private var buckets: UInt64 { 16 + filterWords * 8 }
  private var chains: UInt64 { buckets + bucketCount * 4 }

  /// Returns nil when the object has no such table. Its symbols then have to be read one by one.
  package init?(_ file: ElfFile) {
    guard
      let address = file.dynamicEntries.first(where: { $0.tag == Int64(DT_GNU_HASH) })?.value,
      let offset = file.fileOffset(ofVirtualAddress: address),
      let table = file.bytes.slice(
        at: offset, size: UInt64(file.size) &- min(offset, UInt64(file.size))),
      let bucketCount = table.value(at: 0, as: UInt32.self), bucketCount > 0,
      let firstHashed = table.value(at: 4, as: UInt32.self),
      let filterWords = table.value(at: 8, as: UInt32.self), filterWords > 0,
      let filterShift = table.value(at: 12, as: UInt32.self), filterShift < 32,
      let symbols = file.symbolTable(.dynamic)
    else { return nil }
    self.file = file
    self.symbols = symbols
    self.table = table
    self.bucketCount = UInt64(bucketCount)
    self.firstHashed = UInt64(firstHashed)
    self.filterWords = UInt64(filterWords)
    self.filterShift = filterShift
  }

  /// The first definition of `name`; versions of symbols are not compared.
  package func definition(of name: HashedSymbolName) -> ElfSymbol? {
    let hash = name.hash
    guard
      let filter = table.value(at: 16 + (UInt64(hash / 64) % filterWords) * 8, as: UInt64.self),
      filter >> UInt64(hash % 64) & 1 != 0,
      filter >> UInt64((hash >> filterShift) % 64) & 1 != 0,
      let first = table.value(at: buckets + UInt64(hash) % bucketCount * 4, as: UInt32.self)
    else { return nil }
    var index = UInt64(first)
    guard index >= firstHashed else { return nil }
    let end = min(UInt64(symbols.count), index + UInt64(ElfLimits.hashChain))
    while index < end,
      let entry = table.value(at: chains + (index - firstHashed) * 4, as: UInt32.self)
    {
      if entry | 1 == hash | 1, let symbol = file.symbol(in: symbols, at: Int(index)),
        symbol.isDefined, name.equals(symbol.name)
      {
        return symbol
      }
      if entry & 1 != 0 { return nil }
      index += 1
    }
    return nil
  }
}

extension ElfFile {
  /// Entry `index` of a symbol table. If its name lies outside of the string table, the name is empty.
  package func symbol(in view: SymbolTableView, at index: Int) -> ElfSymbol? {
    let width = MemoryLayout<Elf64_Sym>.size
    guard index >= 0, index < view.count,
      let entry = view.entries.value(at: UInt64(index * width), as: Elf64_Sym.self)
    else { return nil }
    // The byte after the end of the file is 0, so that the name ends even if the string table does not end with a NUL.
    let name: UnsafeRawPointer =
      Int(entry.st_name) < view.strings.count
      ? view.strings.baseAddress! + Int(entry.st_name) : bytes.baseAddress! + size
    return ElfSymbol(
      name: name.assumingMemoryBound(to: CChar.self), value: entry.st_value, size: entry.st_size,
      kind: ElfSymbol.Kind(rawValue: entry.st_info & 15),
      binding: ElfSymbol.Binding(rawValue: entry.st_info >> 4),
      isDefined: entry.st_shndx != UInt16(SHN_UNDEF), sectionIndex: entry.st_shndx)
  }
}
