import CElfUtils
import Glibc
import ProcessImage

/// The DWARF of one file: source lines and inlined functions, read compilation unit by compilation unit as they are asked for.
///
/// The file may be hostile: walks are bounded in depth and number, and sections that would unpack to more than memory allows
/// make the file count as one without DWARF.
final class DebugInformation {
  let file: ElfFile
  private let elf: OpaquePointer
  private let dwarf: OpaquePointer
  private let supplement: Supplement?
  /// Compilation units by address, ascending.
  private var unitRanges: [UnitRange] = []
  private var units: [UInt64: CompilationUnit] = [:]

  private struct UnitRange {
    var low: UInt64
    var high: UInt64
    /// Offset of the unit's first entry in `.debug_info`.
    var entry: UInt64
  }

  /// What several files share, moved out of them by dwz.
  private struct Supplement {
    let file: ElfFile
    let elf: OpaquePointer
    let dwarf: OpaquePointer
  }

  /// Unpacked debug sections larger than this are not read.
  private static let maximumUnpackedSize: UInt64 = 1 << 30
  /// Parsed units that may stay in memory.
  private static let maximumParsedSize = 12 << 20
  private static let maximumUnitRangeCount = 4 << 20

  /// Whether the file itself carries DWARF.
  static func isIn(_ file: ElfFile) -> Bool {
    file.sections.contains {
      ($0.name == ".debug_info" || $0.name == ".zdebug_info") && $0.type != UInt32(SHT_NOBITS)
    }
  }

  /// nil if the file has no usable DWARF.
  init?(file: ElfFile, debugFiles: SeparateDebugFile) {
    guard let opened = Self.open(file) else { return nil }
    self.file = file
    elf = opened.elf
    dwarf = opened.dwarf
    supplement = Self.supplement(of: opened.dwarf, file: file, debugFiles: debugFiles)
    if let supplement { dwarf_setalt(dwarf, supplement.dwarf) }
    readUnitRanges()
  }

  deinit {
    units = [:]
    dwarf_end(dwarf)
    elf_end(elf)
    if let supplement {
      dwarf_end(supplement.dwarf)
      elf_end(supplement.elf)
    }
    file.discardLibelfNotes()
    file.releasePages()
  }

  /// The functions at a virtual address, innermost first, each with the place in it where control is: the physical function
  /// comes last. Empty if no compilation unit covers the address.
  func functions(at address: UInt64, demangle: Bool) -> [Module.Function] {
    guard let unit = unit(at: address) else { return [] }
    let before = unit.sizeInBytes
    defer { parsedSize += unit.sizeInBytes - before }
    return unit.functions(at: address, demangle: demangle)
  }

  /// Whether so much has been parsed that it is time to start anew: libdw keeps all of it until the end.
  var isLarge: Bool { parsedSize > Self.maximumParsedSize }
  private var parsedSize = 0

  private func unit(at address: UInt64) -> CompilationUnit? {
    var low = 0
    var high = unitRanges.count
    while low < high {
      let middle = (low + high) / 2
      if unitRanges[middle].low <= address { low = middle + 1 } else { high = middle }
    }
    // Ranges overlap where the linker has left remains of dropped functions.
    let candidates = stride(from: low - 1, through: max(0, low - 16), by: -1)
    guard let index = candidates.first(where: { address < unitRanges[$0].high }) else { return nil }
    let offset = unitRanges[index].entry
    if let known = units[offset] { return known }
    var entry = Dwarf_Die()
    guard dwarf_offdie(dwarf, offset, &entry) != nil else { return nil }
    let unit = CompilationUnit(entry)
    units[offset] = unit
    return unit
  }

  private func readUnitRanges() {
    var unit: OpaquePointer?
    var next: OpaquePointer?
    var version: Dwarf_Half = 0
    var type: UInt8 = 0
    var entry = Dwarf_Die()
    while dwarf_get_units(dwarf, unit, &next, &version, &type, &entry, nil) == 0 {
      unit = next
      guard type == UInt8(DW_UT_compile) || type == UInt8(DW_UT_skeleton) else {
        continue
      }
      let offset = dwarf_dieoffset(&entry)
      DebugEntry.forEachRange(of: &entry) { low, high in
        if unitRanges.count < Self.maximumUnitRangeCount {
          unitRanges.append(UnitRange(low: low, high: high, entry: offset))
        }
      }
    }
    unitRanges.sort { $0.low < $1.low }
  }

  private static func open(_ file: ElfFile) -> (elf: OpaquePointer, dwarf: OpaquePointer)? {
    guard unpackedSize(of: file) <= maximumUnpackedSize, elf_version(UInt32(EV_CURRENT)) != 0,
      let image = file.imageForLibelf(), let elf = elf_memory(image, file.size)
    else { return nil }
    guard let dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nil) else {
      elf_end(elf)
      file.discardLibelfNotes()
      return nil
    }
    return (elf, dwarf)
  }

  /// Bytes that libdw will unpack compressed debug sections into, all at once and unasked.
  private static func unpackedSize(of file: ElfFile) -> UInt64 {
    var total: UInt64 = 0
    for section in file.sections
    where section.name.hasPrefix(".debug") || section.name.hasPrefix(".zdebug") {
      guard let contents = file.contents(of: section) else { continue }
      if section.flags & UInt64(SHF_COMPRESSED) != 0 {
        guard let header = contents.value(at: 0, as: Elf64_Chdr.self) else { continue }
        let (sum, overflow) = total.addingReportingOverflow(header.ch_size)
        if overflow { return .max }
        total = sum
      } else if section.name.hasPrefix(".z"), let size = contents.value(at: 4, as: UInt64.self) {
        let (sum, overflow) = total.addingReportingOverflow(size.byteSwapped)
        if overflow { return .max }
        total = sum
      }
    }
    return total
  }

  private static func supplement(
    of dwarf: OpaquePointer, file: ElfFile, debugFiles: SeparateDebugFile
  ) -> Supplement? {
    var name: UnsafePointer<CChar>?
    var identifier: UnsafeRawPointer?
    let length = dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &identifier)
    guard length > 0, length <= 64, let name, let identifier else { return nil }
    let buildID = hexadecimal(UnsafeRawBufferPointer(start: identifier, count: length))
    guard
      let found = debugFiles.supplement(
        named: String(cString: name), buildID: buildID, of: file.name),
      let opened = open(found)
    else { return nil }
    return Supplement(file: found, elf: opened.elf, dwarf: opened.dwarf)
  }
}
