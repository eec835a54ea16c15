import CElfUtils
import Glibc

/// An ELF object that is mapped read-only, and of which the headers have been parsed.
///
/// The file may be hostile. Therefore every offset and size in it is checked before it is used, nothing traps, and a
/// file that shrinks while it is mapped reads as zeros. The contents of symbols and sections are views of the mapping;
/// they are valid as long as the object exists.
package final class ElfFile: @unchecked Sendable {
  /// What the file is called in messages: the path by which it was opened.
  package let name: String
  /// Size of the file in bytes.
  package let size: Int
  /// ELF's `e_machine`. It is ``Processor/elfMachine``, or whatever machine the caller asked for.
  package let machine: UInt16
  /// ELF's `e_type`: `ET_EXEC`, `ET_DYN`, `ET_REL`.
  package let type: UInt16
  /// Always true, because files that are not 64-bit are refused.
  package let is64Bit: Bool
  /// Virtual address of the entry point.
  package let entry: UInt64
  package let programHeaders: [ProgramHeader]
  /// The `PT_LOAD` program headers in file order, which ELF requires to be ascending by address.
  package let loadSegments: [LoadSegment]
  /// Empty when the section headers were stripped.
  package let sections: [Section]
  /// The GNU build id in lower-case hexadecimal digits, or nil if there is none.
  package let buildID: String?
  /// The path of the program interpreter (`PT_INTERP`), or nil if there is none.
  package let interpreter: String?

  private let base: UnsafeRawPointer
  private let isFileMapping: Bool
  /// Where in the file the section headers are; empty if there are none.
  private let sectionTable: Range<Int>

  /// The whole file.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: size) }

  /// Opens and maps a file.
  package convenience init(path: String) throws(ElfError) {
    // O_NONBLOCK, because the path may turn out to be a FIFO, on which open would wait for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw .unreadable(name: path, operation: "open", code: errno)
    }
    defer { close(descriptor) }
    try self.init(descriptor: descriptor, name: path)
  }

  /// Maps an open file. The descriptor remains the caller's, who may close it at once. `name` is used in messages.
  package convenience init(descriptor: Int32, name: String) throws(ElfError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw .unreadable(name: name, operation: "fstat", code: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegularFile(name: name) }
    let size = Int(status.st_size)
    guard size >= MemoryLayout<Elf64_Ehdr>.size else { throw .truncated(name: name, size: size) }
    var base: UnsafeRawPointer?
    let code = celf_map_file(descriptor, size, &base)
    guard code == 0, let base else { throw .unreadable(name: name, operation: "mmap", code: -code) }
    try self.init(mapping: base, size: size, name: name, isFileMapping: true)
  }

  /// Copies an ELF image that is in memory already, such as a vDSO, a decompressed section or a BPF object.
  package convenience init(
    copying image: UnsafeRawBufferPointer, name: String, machine: UInt16 = Processor.elfMachine
  ) throws(ElfError) {
    guard image.count >= MemoryLayout<Elf64_Ehdr>.size, let source = image.baseAddress else {
      throw .truncated(name: name, size: image.count)
    }
    var base: UnsafeRawPointer?
    let code = celf_map_copy(source, image.count, &base)
    guard code == 0, let base else { throw .unreadable(name: name, operation: "mmap", code: -code) }
    try self.init(mapping: base, size: image.count, name: name, isFileMapping: false, machine: machine)
  }

  /// Takes ownership of the mapping, even when it throws.
  private init(
    mapping base: UnsafeRawPointer, size: Int, name: String, isFileMapping: Bool, machine: UInt16 = Processor.elfMachine
  ) throws(ElfError) {
    let bytes = UnsafeRawBufferPointer(start: base, count: size)
    let headers: ElfHeaders
    do {
      headers = try ElfHeaders(bytes, name: name, machine: machine)
    } catch {
      celf_unmap(base, size)
      throw error
    }
    self.base = base
    self.size = size
    self.name = name
    self.isFileMapping = isFileMapping
    self.machine = headers.machine
    type = headers.type
    sectionTable = headers.sectionTable
    is64Bit = true
    entry = headers.entry
    programHeaders = headers.programHeaders
    loadSegments = Array(headers.programHeaders.lazy.compactMap(LoadSegment.init).prefix(ElfLimits.loadSegments))
    sections = headers.sections
    buildID = headers.buildID(in: bytes)
    interpreter = headers.programHeaders.first { $0.type == UInt32(PT_INTERP) }
      .flatMap { bytes.slice(at: $0.fileOffset, size: $0.fileSize)?.string(at: 0) }
  }

  deinit { celf_unmap(base, size) }

  /// Gives resident pages back to the page cache, after a pass over the file. They are read again when they are
  /// touched.
  package func releasePages() {
    guard isFileMapping else { return }
    // The pages of the section headers are kept. libelf may have written to them, and that would be lost.
    let pageMask = 4095
    let start = sectionTable.lowerBound & ~pageMask
    let end = min((sectionTable.upperBound + pageMask) & ~pageMask, size)
    if start > 0 { celf_release_pages(base, start) }
    if end < size { celf_release_pages(base + end, size - end) }
  }

  /// The image for libelf, which needs to write to it: it notes in the section headers, and nowhere else, which
  /// sections it has decompressed. The pages of the section headers become private to this process. Returns nil if that
  /// fails, and also when we could not read the section headers: libelf may read them differently, and would then write
  /// to memory that is not writable.
  package func imageForLibelf() -> UnsafeMutablePointer<CChar>? {
    guard !sectionTable.isEmpty, celf_make_writable(base + sectionTable.lowerBound, sectionTable.count) == 0 else {
      return nil
    }
    return UnsafeMutableRawPointer(mutating: base).assumingMemoryBound(to: CChar.self)
  }

  /// Removes what libelf has noted in the section headers. To be called when libelf is done with the image: the next
  /// reader would take compressed sections for decompressed ones.
  package func discardLibelfNotes() {
    guard isFileMapping, !sectionTable.isEmpty else { return }
    let start = sectionTable.lowerBound & ~4095
    celf_release_pages(base + start, sectionTable.upperBound - start)
  }

  /// The first section with that name.
  package func section(named name: String) -> Section? { sections.first { $0.name == name } }

  /// The bytes of a section as the file stores them, which may be compressed. Returns nil if the section occupies no
  /// space in the file or lies outside of it.
  package func contents(of section: Section) -> UnsafeRawBufferPointer? {
    guard section.type != UInt32(SHT_NOBITS) else { return nil }
    return bytes.slice(at: section.offset, size: section.size)
  }

  /// The file offset of the byte that is loaded at a virtual address, or nil if the file has no such byte (as for
  /// `.bss`).
  package func fileOffset(ofVirtualAddress address: UInt64) -> UInt64? {
    for segment in loadSegments where address >= segment.virtualAddress {
      let distance = address &- segment.virtualAddress
      guard distance < segment.fileSize else { continue }
      let (offset, overflow) = segment.fileOffset.addingReportingOverflow(distance)
      return overflow ? nil : offset
    }
    return nil
  }

  /// The virtual address at which a byte of the file is loaded, or nil if it is not loaded. Where segments overlap in
  /// the file, executable ones come first.
  package func virtualAddress(ofFileOffset offset: UInt64) -> UInt64? {
    var found: UInt64?
    for segment in loadSegments where offset >= segment.fileOffset {
      let distance = offset &- segment.fileOffset
      guard distance < segment.fileSize else { continue }
      let address = segment.virtualAddress &+ distance
      if segment.isExecutable { return address }
      if found == nil { found = address }
    }
    return found
  }

  /// The virtual address at which an executable mapping of this file begins, by the mapping's file offset. It belongs
  /// to the executable segment whose pages include that offset, and may lie before the segment's first byte.
  package func virtualAddress(ofMappingAt fileOffset: UInt64) -> UInt64? {
    for segment in loadSegments where segment.isExecutable {
      let firstPage = segment.fileOffset & ~0xfff
      let (end, overflow) = segment.fileOffset.addingReportingOverflow(segment.fileSize)
      guard !overflow, fileOffset >= firstPage, fileOffset < end else { continue }
      return segment.virtualAddress &- segment.fileOffset &+ fileOffset
    }
    return virtualAddress(ofFileOffset: fileOffset)
  }

  /// The bytes that are loaded at a range of virtual addresses, or nil if the file does not hold all of them.
  package func contents(atVirtualAddress address: UInt64, size: UInt64) -> UnsafeRawBufferPointer? {
    guard let offset = fileOffset(ofVirtualAddress: address) else { return nil }
    return bytes.slice(at: offset, size: size)
  }
}
