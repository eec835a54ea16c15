import CElfUtils
import Glibc

extension CFITable {
  /// Converts a file's `.eh_frame` and its `.debug_frame`. `.eh_frame` is found by its section header or, in a file
  /// without section headers, by the program header of its search table.
  ///
  /// - Throws: ``CFIError``. The error is `empty` also when the file has no such section or no executable segment.
  package init(file: ElfFile, limits: CFIConverter.Limits = CFIConverter.Limits()) throws(CFIError) {
    let executable = file.loadSegments.filter(\.isExecutable)
    let found = Self.section(of: file) ?? Self.sectionBySearchTable(of: file)
    let debug = DebugFrame(file, limit: limits.sectionBytes)
    guard found != nil || debug != nil, let start = executable.map(\.virtualAddress).min(),
      let end = executable.map({ Self.end(of: $0) }).max(), start < end
    else { throw .empty }
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    let (address, contents) = found ?? (0, none)
    self = try withExtendedLifetime(debug) { () throws(CFIError) in
      try CFIConverter.convert(
        ehFrame: contents, sectionAddress: address, debugFrame: debug?.bytes ?? none,
        executableRange: start..<end, outermost: Self.stackSwitches(of: file), limits: limits)
    }
  }

  /// Functions of Go's runtime that call C on another stack than the one that they were called on. What the sections say of
  /// them holds for Go's own stack: a walk that went on would read what happens to lie on the other one.
  ///
  /// Stripped programs have them in Go's own table.
  private static func stackSwitches(of file: ElfFile) -> [Range<UInt64>] {
    guard file.section(named: ".go.buildinfo") != nil else { return [] }
    if file.symbolTable(.full) == nil {
      return GoFunctions(file)?.ranges(named: ["runtime.asmcgocall", "runtime.asmcgocall_no_g"]) ?? []
    }
    let names = [
      "runtime.asmcgocall", "runtime.asmcgocall.abi0", "runtime.asmcgocall_no_g", "runtime.asmcgocall_no_g.abi0",
    ]
    var found: [Range<UInt64>] = []
    file.forEachSymbol(in: .full) { symbol in
      guard symbol.isDefined, symbol.kind == .function, found.count < names.count,
        names.contains(where: { strcmp(symbol.name, $0) == 0 })
      else { return }
      let (end, overflow) = symbol.value.addingReportingOverflow(max(1, symbol.size))
      // The return address of the call may be the first byte behind the function.
      if !overflow { found.append(symbol.value..<end) }
    }
    return found
  }

  /// The contents of `.debug_frame`, decompressed if they are stored compressed.
  private final class DebugFrame {
    let bytes: UnsafeRawBufferPointer
    private let unpacked: UnsafeMutableRawPointer?

    init?(_ file: ElfFile, limit: Int) {
      guard let section = file.section(named: ".debug_frame"),
        let contents = file.contents(of: section)
      else { return nil }
      guard section.flags & UInt64(SHF_COMPRESSED) != 0 else {
        bytes = contents
        unpacked = nil
        return
      }
      guard let header = contents.value(at: 0, as: Elf64_Chdr.self),
        header.ch_type == UInt32(ELFCOMPRESS_ZLIB), header.ch_size <= UInt64(limit)
      else { return nil }
      let packed = UnsafeRawBufferPointer(rebasing: contents.dropFirst(MemoryLayout<Elf64_Chdr>.size))
      var memory: UnsafeMutableRawPointer?
      guard
        celf_decompress_zlib(packed.baseAddress!, packed.count, Int(header.ch_size), &memory) == 0,
        let memory
      else { return nil }
      unpacked = memory
      bytes = UnsafeRawBufferPointer(start: memory, count: Int(header.ch_size))
    }

    deinit { free(unpacked) }
  }

  private static func section(of file: ElfFile) -> (address: UInt64, UnsafeRawBufferPointer)? {
    guard let section = file.section(named: ".eh_frame"), let contents = file.contents(of: section)
    else { return nil }
    return (section.address, contents)
  }

  /// Finds `.eh_frame` by its search table (`.eh_frame_hdr`). The table begins with four bytes, of which the second is
  /// the encoding of the pointer to `.eh_frame` that follows them. The table does not say where the section ends; its
  /// terminator does.
  private static func sectionBySearchTable(
    of file: ElfFile
  ) -> (address: UInt64, UnsafeRawBufferPointer)? {
    guard let header = file.programHeaders.first(where: { $0.type == UInt32(PT_GNU_EH_FRAME) }),
      let table = file.contents(atVirtualAddress: header.virtualAddress, size: header.fileSize),
      let base = table.baseAddress
    else { return nil }
    var reader = CFIReader(base: base, position: 0, end: table.count)
    guard reader.readByte() == 1 else { return nil }
    let encoding = reader.readByte()
    reader.skip(2)
    guard
      let address = reader.readPointer(
        encoding: encoding, sectionAddress: header.virtualAddress), !reader.failed,
      let segment = file.loadSegments.first(where: {
        address >= $0.virtualAddress && address - $0.virtualAddress < $0.fileSize
      }),
      let contents = file.contents(
        atVirtualAddress: address, size: segment.fileSize - (address - segment.virtualAddress))
    else { return nil }
    return (address, CFIConverter.untilTerminator(contents))
  }

  private static func end(of segment: ElfFile.LoadSegment) -> UInt64 {
    let (end, overflow) = segment.virtualAddress.addingReportingOverflow(segment.memorySize)
    return overflow ? .max : end
  }
}
