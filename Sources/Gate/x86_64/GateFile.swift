import Glibc
import SystemSupport

/// The code of a gate as an ELF file that says how stacks are walked through it: as much of one as walkers need.
enum GateFile {
  /// The file, as far as it is mapped as code; nil when its tables do not fit.
  static func image(_ code: GateCode) -> [UInt8]? {
    let tables = UInt64(MemoryLayout<Elf64_Ehdr>.size + 2 * MemoryLayout<Elf64_Phdr>.size)
    let search: UInt64 = 8
    let frames = frameTable(code, at: tables + search)
    guard tables + search + UInt64(frames.count) <= GateLayout.headerBytes else { return nil }

    var header = Elf64_Ehdr()
    withUnsafeMutableBytes(of: &header.e_ident) {
      $0.copyBytes(from: [0x7f, 0x45, 0x4c, 0x46, UInt8(ELFCLASS64), UInt8(ELFDATA2LSB), UInt8(EV_CURRENT)])
    }
    header.e_type = Elf64_Half(ET_DYN)
    header.e_machine = Elf64_Half(EM_X86_64)
    header.e_version = Elf64_Word(EV_CURRENT)
    header.e_phoff = Elf64_Off(MemoryLayout<Elf64_Ehdr>.size)
    header.e_ehsize = Elf64_Half(MemoryLayout<Elf64_Ehdr>.size)
    header.e_phentsize = Elf64_Half(MemoryLayout<Elf64_Phdr>.size)
    header.e_phnum = 2
    let load = segment(UInt32(PT_LOAD), PF_R | PF_X, offset: 0, bytes: GateLayout.codeBytes)
    let searchTable = segment(UInt32(PT_GNU_EH_FRAME), PF_R, offset: tables, bytes: search)

    var image: [UInt8] = []
    withUnsafeBytes(of: header) { image += $0 }
    withUnsafeBytes(of: load) { image += $0 }
    withUnsafeBytes(of: searchTable) { image += $0 }
    // The search table has no entries: its version, the encoding of what follows (distances of 4 bytes), and where the frames
    // are.
    image += [1, 0x1b, 0xff, 0xff]
    append(UInt32(4), to: &image)
    image += frames
    image += [UInt8](repeating: 0, count: Int(GateLayout.headerBytes) - image.count)
    image += code.bytes
    image += [UInt8](repeating: 0xcc, count: Int(GateLayout.codeBytes) - image.count)
    return image
  }

  private static func segment(_ type: UInt32, _ flags: Int32, offset: UInt64, bytes: UInt64) -> Elf64_Phdr {
    Elf64_Phdr(
      p_type: type, p_flags: Elf64_Word(flags), p_offset: offset, p_vaddr: offset, p_paddr: offset, p_filesz: bytes,
      p_memsz: bytes, p_align: 0x1000)
  }

  /// The section `.eh_frame`: one entry for all code, which says at each place how far above the stack pointer the caller's
  /// frame begins.
  private static func frameTable(_ code: GateCode, at address: UInt64) -> [UInt8] {
    // Version 1, pointers as distances of 4 bytes, code in bytes, data in words downwards, the return address in column 16.
    // The frame begins 8 bytes above the stack pointer (column 7); the return address is the word below it.
    var common: [UInt8] = [1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x80 | 16, 1]
    pad(&common)
    var table: [UInt8] = []
    append(UInt32(4 + common.count), to: &table)
    append(UInt32(0), to: &table)
    table += common

    var steps: [UInt8] = []
    var place = 0
    for depth in code.depths {
      steps.append(0x04)  // advance by 4 bytes' worth
      append(UInt32(depth.offset - place), to: &steps)
      steps += [0x0e] + unsigned(UInt64(8 + max(0, depth.bytes)))
      place = depth.offset
    }
    let entry = table.count
    let start = address + UInt64(entry + 8)
    var body: [UInt8] = []
    append(UInt32(truncatingIfNeeded: GateLayout.headerBytes &- start), to: &body)
    append(UInt32(code.bytes.count), to: &body)
    body.append(0)
    body += steps
    pad(&body)
    append(UInt32(4 + body.count), to: &table)
    append(UInt32(entry + 4), to: &table)
    table += body
    append(UInt32(0), to: &table)
    return table
  }

  /// To a multiple of 8 with the 8 bytes before it.
  private static func pad(_ bytes: inout [UInt8]) {
    while bytes.count % 8 != 0 { bytes.append(0) }
  }

  private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }

  private static func unsigned(_ value: UInt64) -> [UInt8] {
    var left = value
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(left & 0x7f) | (left > 0x7f ? 0x80 : 0))
      left >>= 7
    } while left != 0
    return bytes
  }
}
