import CElfUtils
import Glibc

/// An open ELF object, of which the headers have been parsed.
///
/// The file may be hostile. Therefore every offset and size in it is checked before it is used, nothing traps, and what is
/// read is a private copy, which stays the same while the file is rewritten or truncated. The contents of
/// symbols and sections are views of the copy; they are valid as long as the object exists.
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

  /// The file itself, open as long as this object exists: what is to be done to the file that was parsed is done through this
  /// descriptor, because paths may lead elsewhere meanwhile. −1 for an image in memory.
  package let descriptor: Int32

  private let base: UnsafeRawPointer
  /// By which the keeper of the copies knows this one.
  private let slot: Int32
  /// Whether libelf works on the copy: its pages must then stay as they are.
  private var isLentToLibelf = false
  /// The section headers as they were before libelf wrote to them, where they cannot be read again.
  private var pristineSectionTable: [UInt8] = []
  /// Where in the file the section headers are; empty if there are none.
  private let sectionTable: Range<Int>

  /// The whole file.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: size) }

  /// Opens a file. Anything but a regular file is refused.
  package convenience init(path: String) throws(ElfError) {
    // O_NONBLOCK, because the path may turn out to be a FIFO, on which open would wait for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else {
      throw .unreadable(name: path, operation: "open", code: errno)
    }
    defer { close(descriptor) }
    try self.init(descriptor: descriptor, name: path)
  }

  /// Reads an open file. The descriptor remains the caller's, who may close it at once. `name` is used in messages.
  package convenience init(descriptor: Int32, name: String) throws(ElfError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw .unreadable(name: name, operation: "fstat", code: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegularFile(name: name) }
    let size = Int(status.st_size)
    guard size >= MemoryLayout<Elf64_Ehdr>.size else { throw .truncated(name: name, size: size) }
    let own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard own >= 0 else { throw .unreadable(name: name, operation: "fcntl", code: errno) }
    var base: UnsafeRawPointer?
    var slot: Int32 = -1
    let code = celf_copy_file(own, size, true, &base, &slot)
    guard code == 0, let base else {
      close(own)
      throw .unreadable(name: name, operation: "copy", code: -code)
    }
    try self.init(copy: base, size: size, slot: slot, name: name, descriptor: own)
  }

  /// Copies an ELF image that is in memory already, such as a vDSO, a decompressed section or a BPF object.
  package convenience init(
    copying image: UnsafeRawBufferPointer, name: String, machine: UInt16 = Processor.elfMachine
  ) throws(ElfError) {
    guard image.count >= MemoryLayout<Elf64_Ehdr>.size, let source = image.baseAddress else {
      throw .truncated(name: name, size: image.count)
    }
    var base: UnsafeRawPointer?
    let code = celf_copy_memory(source, image.count, &base)
    guard code == 0, let base else { throw .unreadable(name: name, operation: "mmap", code: -code) }
    try self.init(copy: base, size: image.count, slot: -1, name: name, descriptor: -1, machine: machine)
  }

  /// Takes ownership of the copy and of the descriptor, even when it throws.
  private init(
    copy base: UnsafeRawPointer, size: Int, slot: Int32, name: String, descriptor: Int32,
    machine: UInt16 = Processor.elfMachine
  ) throws(ElfError) {
    let bytes = UnsafeRawBufferPointer(start: base, count: size)
    let headers: ElfHeaders
    do {
      headers = try ElfHeaders(bytes, name: name, machine: machine)
    } catch {
      celf_free_copy(base, size, slot)
      if descriptor >= 0 { close(descriptor) }
      throw error
    }
    self.base = base
    self.slot = slot
    self.descriptor = descriptor
    self.size = size
    self.name = name
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

  deinit {
    celf_free_copy(base, size, slot)
    if descriptor >= 0 { close(descriptor) }
  }

  // MARK: Memory

  /// Bytes of the private copy that are in memory.
  package var residentBytes: Int { celf_resident_size(slot) }

  /// Whether parts of the file read as zeros because of the limit of all copies. What was read of it does not count then.
  package var isIncomplete: Bool { celf_is_incomplete(slot) }

  /// Whether the copies of all files take so much memory that those which are not needed now should be released.
  package static var copiesAreNearLimit: Bool { celf_copied_size() > celf_copies_limit() / 2 }

  /// Forgets what was copied, after a pass over the file. It is read from the file when it is touched again, and may be
  /// different then: nobody may rely on bounds that were checked before. Does nothing while libelf works on the copy.
  package func releasePages() {
    if !isLentToLibelf { celf_release_pages(slot) }
  }

  /// The image for libelf, which needs to write to it: it notes in the section headers, and nowhere else, which
  /// sections it has decompressed. Returns nil if somebody else works with the image already, and also when we could not
  /// read the section headers: libelf may read them differently, and would then write to memory that is not writable.
  package func lendToLibelf() -> UnsafeMutablePointer<CChar>? {
    guard !isLentToLibelf, !sectionTable.isEmpty,
      celf_make_writable(base + sectionTable.lowerBound, sectionTable.count) == 0
    else { return nil }
    isLentToLibelf = true
    if descriptor < 0 || !celf_copies_are_lazy() {
      pristineSectionTable = Array(UnsafeRawBufferPointer(rebasing: bytes[sectionTable]))
    }
    return UnsafeMutableRawPointer(mutating: base).assumingMemoryBound(to: CChar.self)
  }

  /// To be called when libelf is done with the image. Removes what it has noted in the section headers: the next reader
  /// would take compressed sections for decompressed ones.
  package func takeBackFromLibelf() {
    guard isLentToLibelf else { return }
    isLentToLibelf = false
    releasePages()
    if !pristineSectionTable.isEmpty {
      UnsafeMutableRawPointer(mutating: base + sectionTable.lowerBound).copyMemory(
        from: pristineSectionTable, byteCount: pristineSectionTable.count)
      pristineSectionTable = []
    }
  }

  // MARK: Contents

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
