import CElfUtils
import Glibc
import ProcessImage
import TestTools

/// An ELF file that claims what its maker wants, of any size: what is not written is a hole.
struct ForgedFile {
  struct Section {
    var name: String
    var type: Int32
    var flags: Int32 = 0
    var address: UInt64 = 0
    /// nil: behind what has been written.
    var offset: UInt64?
    /// nil: that of the bytes.
    var size: UInt64?
    var bytes: [UInt8] = []
    var link: UInt32 = 0
    var entrySize: UInt64 = 0
  }

  struct Segment {
    var type: Int32
    var flags: Int32 = Int32(PF_R) | Int32(PF_X)
    var address: UInt64 = 0
    var offset: UInt64 = 0
    var size: UInt64
  }

  var sections: [Section] = []
  var segments: [Segment] = []
  /// What the file is made to have at its end, as a hole.
  var sizeInBytes: UInt64 = 0

  /// Where the contents of the sections begin.
  static let contentStart = 1 << 16

  func write(to path: String) throws {
    var names: [UInt8] = [0]
    var contents: [UInt8] = []
    var headers = [Elf64_Shdr()]
    for section in sections + [Section(name: ".shstrtab", type: SHT_STRTAB)] {
      var header = Elf64_Shdr()
      header.sh_name = UInt32(names.count)
      names += Array(section.name.utf8) + [0]
      var bytes = section.bytes
      if section.name == ".shstrtab" { bytes = names }
      header.sh_type = UInt32(section.type)
      header.sh_flags = UInt64(section.flags)
      header.sh_addr = section.address
      header.sh_offset = section.offset ?? UInt64(Self.contentStart + contents.count)
      header.sh_size = section.size ?? UInt64(bytes.count)
      header.sh_link = section.link
      header.sh_entsize = section.entrySize
      if section.offset == nil { contents += bytes }
      headers.append(header)
    }
    var programs: [Elf64_Phdr] = []
    for segment in segments {
      var header = Elf64_Phdr()
      header.p_type = UInt32(segment.type)
      header.p_flags = UInt32(segment.flags)
      header.p_offset = segment.offset
      header.p_vaddr = segment.address
      header.p_filesz = segment.size
      header.p_memsz = segment.size
      header.p_align = 1
      programs.append(header)
    }
    var header = Elf64_Ehdr()
    withUnsafeMutableBytes(of: &header) { $0.copyBytes(from: [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]) }
    header.e_type = UInt16(ET_DYN)
    header.e_machine = Processor.elfMachine
    header.e_version = 1
    header.e_ehsize = 64
    header.e_phoff = 64
    header.e_phentsize = 56
    header.e_phnum = UInt16(programs.count)
    header.e_shoff = UInt64(Self.contentStart + contents.count)
    header.e_shentsize = 64
    header.e_shnum = UInt16(headers.count)
    header.e_shstrndx = UInt16(headers.count - 1)
    var bytes: [UInt8] = []
    withUnsafeBytes(of: header) { bytes += $0 }
    programs.withUnsafeBytes { bytes += $0 }
    bytes += [UInt8](repeating: 0, count: Self.contentStart - bytes.count)
    bytes += contents
    headers.withUnsafeBytes { bytes += $0 }
    guard let stream = fopen(path, "w") else { throw ToolFailure(command: path, status: errno, output: "fopen") }
    defer { fclose(stream) }
    guard fwrite(bytes, 1, bytes.count, stream) == bytes.count else {
      throw ToolFailure(command: path, status: errno, output: "fwrite")
    }
    fflush(stream)
    if sizeInBytes > UInt64(bytes.count), ftruncate(fileno(stream), Int(sizeInBytes)) != 0 {
      throw ToolFailure(command: path, status: errno, output: "ftruncate")
    }
  }

  /// Bytes of values as they lie in memory.
  static func bytes<Value: BitwiseCopyable>(_ values: [Value]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }
}
