import CElfUtils

/// One entry of a symbol table. `name` points into the mapped file.
package struct ElfSymbol {
  /// NUL-terminated. Valid as long as the `ElfFile` exists.
  package let name: UnsafePointer<CChar>
  /// The virtual address. For a `.threadLocal` symbol, the offset in the TLS block.
  package let value: UInt64
  /// In bytes; 0 where the assembler was not told the size.
  package let size: UInt64
  package let kind: Kind
  package let binding: Binding
  /// Whether this object defines the symbol, rather than only refers to it.
  package let isDefined: Bool
  /// ELF's `st_shndx`, including its reserved values (`SHN_ABS` is 0xfff1).
  package let sectionIndex: UInt16

  /// ELF's `STT_*`.
  package struct Kind: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let none = Kind(rawValue: 0)
    package static let object = Kind(rawValue: 1)
    package static let function = Kind(rawValue: 2)
    package static let section = Kind(rawValue: 3)
    package static let file = Kind(rawValue: 4)
    package static let common = Kind(rawValue: 5)
    package static let threadLocal = Kind(rawValue: 6)
    /// A resolver, which chooses the actual function when the object is loaded (`STT_GNU_IFUNC`).
    package static let indirectFunction = Kind(rawValue: 10)
  }

  /// ELF's `STB_*`.
  package struct Binding: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let local = Binding(rawValue: 0)
    package static let global = Binding(rawValue: 1)
    package static let weak = Binding(rawValue: 2)
    package static let unique = Binding(rawValue: 10)
  }
}

extension ElfFile {
  package enum SymbolTable: CaseIterable, Sendable {
    /// `.symtab`: every symbol of the object, unless the file was stripped.
    case full
    /// `.dynsym`: the symbols that are visible to the dynamic linker.
    case dynamic
  }

  /// The raw bytes of a symbol table, and of the string table that holds its names. Both are inside of the file.
  package struct SymbolTableView {
    /// `Elf64_Sym` entries, which need not be aligned. Entry 0 is the null symbol.
    package let entries: UnsafeRawBufferPointer
    package let strings: UnsafeRawBufferPointer

    /// Entries that are read.
    package var count: Int { min(entries.count / MemoryLayout<Elf64_Sym>.size, ElfLimits.symbols) }
    /// Whether the table has more entries than are read.
    package var isCut: Bool { entries.count / MemoryLayout<Elf64_Sym>.size > ElfLimits.symbols }
  }

  /// Calls `body` for every entry of a table except the null symbol. If a name lies outside of the string table, it is
  /// empty. Does nothing when the file has no such table.
  package func forEachSymbol(in table: SymbolTable, _ body: (ElfSymbol) -> Void) {
    guard let view = symbolTable(table), let entries = view.entries.baseAddress,
      let strings = view.strings.baseAddress
    else { return }
    let stringsCount = view.strings.count
    for index in 1..<max(view.count, 1) {
      let entry = entries.loadUnaligned(
        fromByteOffset: index &* MemoryLayout<Elf64_Sym>.size, as: Elf64_Sym.self)
      // The last byte of `strings` need not be NUL, but the name still ends: the mapping has a 0 after the file's last
      // byte.
      let nameOffset = Int(entry.st_name)
      let name = nameOffset < stringsCount ? strings + nameOffset : emptyName
      body(
        ElfSymbol(
          name: name.assumingMemoryBound(to: CChar.self), value: entry.st_value,
          size: entry.st_size, kind: ElfSymbol.Kind(rawValue: entry.st_info & 15),
          binding: ElfSymbol.Binding(rawValue: entry.st_info >> 4),
          isDefined: entry.st_shndx != UInt16(SHN_UNDEF), sectionIndex: entry.st_shndx))
    }
  }

  /// Where a symbol table lies in the file. Without section headers, the dynamic one is found by the dynamic segment.
  package func symbolTable(_ table: SymbolTable) -> SymbolTableView? {
    let wanted = UInt32(table == .full ? SHT_SYMTAB : SHT_DYNSYM)
    if let section = sections.first(where: { $0.type == wanted }),
      let entries = contents(of: section),
      Int(section.link) < sections.count, let strings = contents(of: sections[Int(section.link)])
    {
      return SymbolTableView(entries: entries, strings: strings)
    }
    return table == .dynamic ? dynamicSymbolTable() : nil
  }

  /// An empty string: the byte after the file's last one, which the mapping guarantees to be 0.
  private var emptyName: UnsafeRawPointer { bytes.baseAddress! + size }
}
