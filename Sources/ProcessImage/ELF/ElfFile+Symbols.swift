import CElfUtils

/// One symbol table entry. `name` points into the mapped file.
package struct ElfSymbol {
  /// NUL-terminated; valid as long as the `ElfFile`.
  package let name: UnsafePointer<CChar>
  /// Virtual address; for `.threadLocal` an offset into the TLS block.
  package let value: UInt64
  /// Bytes; 0 where the assembler was not told.
  package let size: UInt64
  package let kind: Kind
  package let binding: Binding
  /// Whether this object defines the symbol, not only refers to it.
  package let isDefined: Bool
  /// ELF's `st_shndx`, with its reserved values (`SHN_ABS` is 0xfff1).
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
    /// A resolver that picks the function at load time (`STT_GNU_IFUNC`).
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
    /// `.symtab`: every symbol, unless stripped.
    case full
    /// `.dynsym`: what other objects may refer to.
    case dynamic
  }

  /// The raw bytes of a symbol table and of the strings it names, both inside the file.
  package struct SymbolTableView {
    /// `Elf64_Sym` entries, not necessarily aligned; entry 0 is the null symbol.
    package let entries: UnsafeRawBufferPointer
    package let strings: UnsafeRawBufferPointer

    package var count: Int { entries.count / MemoryLayout<Elf64_Sym>.size }
  }

  /// Calls `body` for every entry of a table except the null symbol; a name outside the string table is empty.
  /// Does nothing when the file has no such table.
  package func forEachSymbol(in table: SymbolTable, _ body: (ElfSymbol) -> Void) {
    guard let view = symbolTable(table), let entries = view.entries.baseAddress,
      let strings = view.strings.baseAddress
    else { return }
    let stringsCount = view.strings.count
    for index in 1..<max(view.count, 1) {
      let entry = entries.loadUnaligned(
        fromByteOffset: index &* MemoryLayout<Elf64_Sym>.size, as: Elf64_Sym.self)
      // The last byte of `strings` need not be NUL: the mapping itself ends in one.
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

  /// Where a symbol table lies. The dynamic one is found through the dynamic segment when section headers are missing.
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

  /// Byte 0 behind the file's last byte, which the mapping guarantees.
  private var emptyName: UnsafeRawPointer { bytes.baseAddress! + size }
}
