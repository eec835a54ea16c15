import CElfUtils

/// Which imported functions an object calls through which words of its global offset table.
package struct ElfImports {
  /// Virtual address of a GOT word → name of the function that the dynamic linker puts there.
  private var names: [UInt64: String] = [:]
  private let file: ElfFile

  /// Reads the object's relocations and keeps those for the functions in `wanted`.
  package init(_ file: ElfFile, wanted: Set<HashedSymbolName>) {
    self.file = file
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
    while let entry = table.value(at: offset, as: Elf64_Rela.self) {
      offset += width
      let type = Int32(truncatingIfNeeded: entry.r_info & 0xffff_ffff)
      guard type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT,
        let symbol = file.symbol(in: symbols, at: Int(entry.r_info >> 32))
      else { continue }
      var hash: UInt32 = 5381
      var cursor = symbol.name
      while cursor.pointee != 0 {
        hash = hash &* 33 &+ UInt32(UInt8(bitPattern: cursor.pointee))
        cursor += 1
      }
      if let name = wanted[hash], name.equals(symbol.name) { names[entry.r_offset] = name.text }
    }
  }

  package var isEmpty: Bool { names.isEmpty }

  /// The function whose address the GOT word at `address` holds.
  package func name(inSlot address: UInt64) -> String? { names[address] }

  /// The function that the procedure linkage table's stub at `address` jumps to: `jmp [rip+x]`, perhaps behind an
  /// `endbr64` and with a `bnd` prefix.
  package func name(ofStub address: UInt64) -> String? {
    if names.isEmpty { return nil }
    guard let code = file.contents(atVirtualAddress: address, size: 12) else { return nil }
    var position = 0
    if code[0] == 0xf3, code[1] == 0x0f, code[2] == 0x1e, code[3] == 0xfa { position = 4 }
    if code[position] == 0xf2 { position += 1 }
    guard position + 6 <= code.count, code[position] == 0xff, code[position + 1] == 0x25 else {
      return nil
    }
    let distance = code.loadUnaligned(fromByteOffset: position + 2, as: Int32.self)
    return names[address &+ UInt64(position + 6) &+ UInt64(bitPattern: Int64(distance))]
  }
}
