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

  /// No object calls so many functions of others.
  private static let maximumStubCount = 1 << 18

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
      let end = stubSize * UInt64(maximumStubCount)
      while offset < end, let stub = code.slice(at: offset, size: stubSize) {
        if let slot = Processor.slot(ofStub: stub, at: section.address &+ offset), let name = slots[slot] {
          stubs.append(Stub(address: section.address &+ offset, size: stubSize, nameOffset: name))
        }
        offset &+= stubSize
      }
    }
    return stubs
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
      let end = UInt64(MemoryLayout<Elf64_Rela>.size * ElfLimits.relocations)
      while offset < end, names.count < maximumStubCount,
        let relocation = relocations.value(at: offset, as: Elf64_Rela.self)
      {
        offset &+= UInt64(MemoryLayout<Elf64_Rela>.size)
        let type = UInt32(truncatingIfNeeded: relocation.r_info)
        guard Processor.bindsFunction(relocationType: type),
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
