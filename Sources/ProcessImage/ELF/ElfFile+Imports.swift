import CElfUtils

/// Tells which imported functions an object calls, and through which words of its global offset table (GOT).
package struct ElfImports {
  /// Maps the virtual address of a GOT word to the name of the function whose address the dynamic linker puts there.
  private var names: [UInt64: String] = [:]
  private let file: ElfFile
  /// Of those wanted, in bytes. Of longer names no more than this is read: many relocations may have one name of megabytes.
  private let longestName: Int

  /// Reads the object's relocations, and keeps those of the functions in `wanted`.
  package init(_ file: ElfFile, wanted: Set<HashedSymbolName>) {
    self.file = file
    longestName = wanted.map(\.bytes.count).max() ?? 0
    guard let symbols = file.symbolTable(.dynamic) else { return }
    let byHash = Dictionary(wanted.map { ($0.hash, $0) }, uniquingKeysWith: { first, _ in first })
    var values: [Int64: UInt64] = [:]
    for entry in file.dynamicEntries where values[entry.tag] == nil {
      values[entry.tag] = entry.value
    }
    let tables = [(DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)]
    for (start, length) in tables {
      guard let address = values[Int64(start)], let size = values[Int64(length)],
        let table = file.contents(atVirtualAddress: address, size: size)
      else { continue }
      read(table, symbols: symbols, wanted: byHash)
    }
  }

  private mutating func read(
    _ table: UnsafeRawBufferPointer, symbols: ElfFile.SymbolTableView,
    wanted: [UInt32: HashedSymbolName]
  ) {
    let width = UInt64(MemoryLayout<Elf64_Rela>.size)
    var offset: UInt64 = 0
    let end = width * UInt64(ElfLimits.relocations)
    while offset < end, let entry = table.value(at: offset, as: Elf64_Rela.self) {
      offset += width
      let type = UInt32(truncatingIfNeeded: entry.r_info)
      guard Processor.bindsFunction(relocationType: type),
        let symbol = file.symbol(in: symbols, at: Int(entry.r_info >> 32))
      else { continue }
      var hash: UInt32 = 5381
      var length = 0
      while length <= longestName, symbol.name[length] != 0 {
        hash = hash &* 33 &+ UInt32(UInt8(bitPattern: symbol.name[length]))
        length += 1
      }
      if length <= longestName, let name = wanted[hash], name.equals(symbol.name) { names[entry.r_offset] = name.text }
    }
  }

  package var isEmpty: Bool { names.isEmpty }

  /// The function whose address the GOT word at `address` holds.
  package func name(inSlot address: UInt64) -> String? { names[address] }

  /// The name of the function to which the stub at `address` in the procedure linkage table jumps.
  package func name(ofStub address: UInt64) -> String? {
    guard !names.isEmpty, let code = file.contents(atVirtualAddress: address, size: 12),
      let slot = Processor.slot(ofStub: code, at: address)
    else { return nil }
    return names[slot]
  }
}
