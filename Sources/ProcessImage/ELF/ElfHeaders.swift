import CElfUtils

extension ElfFile {
  /// One entry of the program header table.
  package struct ProgramHeader: Hashable, Sendable {
    /// `PT_LOAD`, `PT_DYNAMIC`, `PT_GNU_EH_FRAME`…
    package let type: UInt32
    /// `PF_R`, `PF_W`, `PF_X`.
    package let flags: UInt32
    package let virtualAddress: UInt64
    package let fileOffset: UInt64
    package let fileSize: UInt64
    package let memorySize: UInt64
    package let alignment: UInt64
  }

  /// A part of the file that is loaded into memory.
  package struct LoadSegment: Hashable, Sendable {
    package let virtualAddress: UInt64
    package let fileOffset: UInt64
    package let fileSize: UInt64
    package let memorySize: UInt64
    package let isExecutable: Bool
    package let isWritable: Bool

    init?(_ header: ProgramHeader) {
      guard header.type == UInt32(PT_LOAD) else { return nil }
      virtualAddress = header.virtualAddress
      fileOffset = header.fileOffset
      fileSize = header.fileSize
      memorySize = header.memorySize
      isExecutable = header.flags & UInt32(PF_X) != 0
      isWritable = header.flags & UInt32(PF_W) != 0
    }
  }

  /// One entry of the section header table. Its values have not been checked against the size of the file.
  package struct Section: Hashable, Sendable {
    package let index: Int
    package let name: String
    /// `SHT_PROGBITS`, `SHT_SYMTAB`…
    package let type: UInt32
    /// `SHF_ALLOC`, `SHF_COMPRESSED`…
    package let flags: UInt64
    package let address: UInt64
    package let offset: UInt64
    package let size: UInt64
    package let entrySize: UInt64
    package let link: UInt32
    package let info: UInt32
  }
}

/// The header tables of an ELF file. Every bound is checked while they are read.
struct ElfHeaders {
  var machine: UInt16
  var type: UInt16
  var entry: UInt64
  var programHeaders: [ElfFile.ProgramHeader] = []
  var sections: [ElfFile.Section] = []
  /// Where in the file the section headers are, as far as they lie inside of it.
  var sectionTable = 0..<0

  init(_ bytes: UnsafeRawBufferPointer, name: String, machine: UInt16) throws(ElfError) {
    guard let header = bytes.value(at: 0, as: Elf64_Ehdr.self) else {
      throw .truncated(name: name, size: bytes.count)
    }
    guard bytes[0] == 0x7f, bytes[1] == UInt8(ascii: "E"), bytes[2] == UInt8(ascii: "L"),
      bytes[3] == UInt8(ascii: "F")
    else { throw .notELF(name: name) }
    guard bytes[Int(EI_CLASS)] == UInt8(ELFCLASS64) else { throw .not64Bit(name: name) }
    guard bytes[Int(EI_DATA)] == UInt8(ELFDATA2LSB) else { throw .notLittleEndian(name: name) }
    guard header.e_machine == machine else {
      throw .foreignMachine(name: name, machine: header.e_machine)
    }
    self.machine = header.e_machine
    type = header.e_type
    entry = header.e_entry

    // Section 0 holds those counts that are too large for the fields of the ELF header.
    let first =
      header.e_shoff == 0
      ? nil : bytes.value(at: header.e_shoff, as: Elf64_Shdr.self)
    let segmentCount =
      header.e_phnum == UInt16(PN_XNUM) ? UInt64(first?.sh_info ?? 0) : UInt64(header.e_phnum)
    let sectionCount = header.e_shnum == 0 ? (first?.sh_size ?? 0) : UInt64(header.e_shnum)
    let nameTable =
      header.e_shstrndx == UInt16(SHN_XINDEX)
      ? UInt64(first?.sh_link ?? 0) : UInt64(header.e_shstrndx)
    guard segmentCount <= ElfLimits.programHeaders, sectionCount <= ElfLimits.sections else {
      throw .malformed(name: name, what: "too many program or section headers")
    }
    if segmentCount > 0 {
      guard header.e_phentsize == UInt16(MemoryLayout<Elf64_Phdr>.size) else {
        throw .malformed(name: name, what: "program header size \(header.e_phentsize)")
      }
      readProgramHeaders(bytes, at: header.e_phoff, count: segmentCount)
    }
    if header.e_shoff != 0, header.e_shentsize == UInt16(MemoryLayout<Elf64_Shdr>.size) {
      readSections(bytes, at: header.e_shoff, count: sectionCount, nameTable: nameTable)
    }
  }

  private mutating func readProgramHeaders(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, count: UInt64
  ) {
    let width = UInt64(MemoryLayout<Elf64_Phdr>.size)
    for index in 0..<count {
      guard let header = bytes.value(at: offset &+ index &* width, as: Elf64_Phdr.self) else {
        return
      }
      programHeaders.append(
        ElfFile.ProgramHeader(
          type: header.p_type, flags: header.p_flags, virtualAddress: header.p_vaddr,
          fileOffset: header.p_offset, fileSize: header.p_filesz, memorySize: header.p_memsz,
          alignment: header.p_align))
    }
  }

  private mutating func readSections(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, count: UInt64, nameTable: UInt64
  ) {
    let width = UInt64(MemoryLayout<Elf64_Shdr>.size)
    let names: UnsafeRawBufferPointer? =
      nameTable < count
      ? bytes.value(at: offset &+ nameTable &* width, as: Elf64_Shdr.self)
        .flatMap { bytes.slice(at: $0.sh_offset, size: $0.sh_size) }
      : nil
    guard offset < UInt64(bytes.count) else { return }
    for index in 0..<count {
      guard let header = bytes.value(at: offset &+ index &* width, as: Elf64_Shdr.self) else {
        break
      }
      sections.append(
        ElfFile.Section(
          index: Int(index),
          name: names?.string(at: UInt64(header.sh_name), limit: 256) ?? "", type: header.sh_type,
          flags: header.sh_flags, address: header.sh_addr, offset: header.sh_offset,
          size: header.sh_size, entrySize: header.sh_entsize, link: header.sh_link,
          info: header.sh_info))
    }
    sectionTable = Int(offset)..<(Int(offset) + sections.count * Int(width))
  }

  /// The GNU build id. It is taken from the note segments, or from the note sections where the segments have none:
  /// files of debug information keep segments whose contents they do not have.
  func buildID(in bytes: UnsafeRawBufferPointer) -> String? {
    var left = ElfLimits.notes
    for header in programHeaders where header.type == UInt32(PT_NOTE) {
      if let notes = bytes.slice(at: header.fileOffset, size: header.fileSize),
        let found = Self.buildID(inNotes: notes, alignment: header.alignment, left: &left)
      {
        return found
      }
    }
    for section in sections where section.type == UInt32(SHT_NOTE) {
      if let notes = bytes.slice(at: section.offset, size: section.size),
        let found = Self.buildID(inNotes: notes, alignment: 4, left: &left)
      {
        return found
      }
    }
    return nil
  }

  private static func buildID(
    inNotes notes: UnsafeRawBufferPointer, alignment: UInt64, left: inout Int
  ) -> String? {
    let unit: UInt64 = alignment == 8 ? 8 : 4
    var offset: UInt64 = 0
    while left > 0, let note = notes.value(at: offset, as: Elf64_Nhdr.self) {
      left -= 1
      let nameStart = offset &+ UInt64(MemoryLayout<Elf64_Nhdr>.size)
      let contentStart = roundUp(nameStart &+ UInt64(note.n_namesz), to: unit)
      if note.n_type == UInt32(NT_GNU_BUILD_ID), note.n_namesz == 4,
        notes.value(at: nameStart, as: UInt32.self) == 0x0055_4e47,  // "GNU\0"
        note.n_descsz >= 1, note.n_descsz <= 64,
        let content = notes.slice(at: contentStart, size: UInt64(note.n_descsz))
      {
        return hexadecimal(content)
      }
      offset = roundUp(contentStart &+ UInt64(note.n_descsz), to: unit)
    }
    return nil
  }

  private static func roundUp(_ value: UInt64, to unit: UInt64) -> UInt64 {
    (value &+ unit &- 1) & ~(unit &- 1)
  }
}

/// Bytes as lower-case hexadecimal digits.
package func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(bytes.count * 2)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 15)])
  }
  return String(decoding: text, as: UTF8.self)
}
