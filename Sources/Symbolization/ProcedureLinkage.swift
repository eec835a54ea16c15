import CElfUtils
import ProcessImage

/// Names the stubs through which code calls functions of other objects (`.plt`, `.plt.sec`, `.plt.got`).
enum ProcedureLinkage {
  struct Stub {
    var address: UInt64
    var size: UInt64
    /// Offset into `.dynstr` of the function's name.
    var nameOffset: UInt32
  }

  /// The stubs of an object with section headers; none otherwise.
  ///
  /// A stub jumps through a slot of the global offset table, and a relocation says whose address goes into the slot. Reading
  /// the jump works for every linker's layout.
  static func stubs(of file: ElfFile) -> [Stub] {
    let sections = file.sections.filter {
      $0.name == ".plt" || $0.name == ".plt.sec" || $0.name == ".plt.got"
    }
    guard !sections.isEmpty else { return [] }
    let slots = slotNames(of: file)
    guard !slots.isEmpty else { return [] }
    var stubs: [Stub] = []
    for section in sections {
      guard let code = file.contents(of: section) else { continue }
      let stubSize: UInt64 = section.name == ".plt.got" && section.entrySize == 8 ? 8 : 16
      var offset: UInt64 = 0
      while let stub = code.slice(at: offset, size: stubSize) {
        if let slot = slot(of: stub, at: section.address &+ offset), let name = slots[slot] {
          stubs.append(Stub(address: section.address &+ offset, size: stubSize, nameOffset: name))
        }
        offset &+= stubSize
      }
    }
    return stubs
  }

  /// The address of the slot that a stub's `jmp *disp32(%rip)` reads, past `endbr64` and `bnd`.
  private static func slot(of stub: UnsafeRawBufferPointer, at address: UInt64) -> UInt64? {
    for place: UInt64 in [0, 1, 4, 5] {
      guard stub.value(at: place, as: UInt16.self) == 0x25ff,
        let distance = stub.value(at: place &+ 2, as: Int32.self)
      else { continue }
      return address &+ place &+ 6 &+ UInt64(bitPattern: Int64(distance))
    }
    return nil
  }

  /// Slot address to name offset, from the relocations that bind functions.
  private static func slotNames(of file: ElfFile) -> [UInt64: UInt32] {
    guard let table = file.symbolTable(.dynamic) else { return [:] }
    var names: [UInt64: UInt32] = [:]
    for section in file.sections where section.type == UInt32(SHT_RELA) {
      guard section.name == ".rela.plt" || section.name == ".rela.dyn",
        let relocations = file.contents(of: section)
      else { continue }
      var offset: UInt64 = 0
      while let relocation = relocations.value(at: offset, as: Elf64_Rela.self) {
        offset &+= UInt64(MemoryLayout<Elf64_Rela>.size)
        let type = UInt32(truncatingIfNeeded: relocation.r_info)
        guard type == UInt32(R_X86_64_JUMP_SLOT) || type == UInt32(R_X86_64_GLOB_DAT),
          let symbol = table.entries.value(
            at: (relocation.r_info >> 32) &* UInt64(MemoryLayout<Elf64_Sym>.size),
            as: Elf64_Sym.self), symbol.st_name != 0, Int(symbol.st_name) < table.strings.count
        else { continue }
        names[relocation.r_offset] = symbol.st_name
      }
    }
    return names
  }
}
