import CElfUtils
import Glibc
import ProcessImage

/// The DWARF of one file: source lines and inlined functions, read compilation unit by compilation unit as they are asked for.
///
/// The file may be hostile: walks are bounded in depth and number, sections that would unpack to more than memory allows
/// make the file count as one without DWARF, and no other file is opened because this one names it, but by us.
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

  /// The file with what several debug files share, which dwz has moved there.
  private struct Supplement {
    let file: ElfFile
    let elf: OpaquePointer
    let dwarf: OpaquePointer
  }

  /// Parsed units that may stay in memory.
  private static let maximumParsedSize = 12 << 20
  /// Copied bytes of the file that may come to those with which its reading began.
  private static let maximumCopiedSize = 32 << 20
  private static let maximumUnitRangeCount = 4 << 20
  /// Browsers have a tenth of these; libdw takes 200 bytes for each.
  private static let maximumUnitCount = 1 << 18
  /// Bytes of one unit's line program, of each of which libdw may make a row of 80 bytes.
  private static let maximumLineProgramSize: UInt64 = 8 << 20

  /// The value that libdw itself notes when it has looked for a supplement and found none.
  private static var noSupplement: OpaquePointer? { OpaquePointer(bitPattern: -1) }

  /// Whether the file itself carries DWARF.
  static func isIn(_ file: ElfFile) -> Bool {
    file.sections.contains {
      ($0.name == ".debug_info" || $0.name == ".zdebug_info") && $0.type != UInt32(SHT_NOBITS)
    }
  }

  /// nil if the file has no usable DWARF.
  ///
  /// - Parameter supplementFile: the file that shares what several debug files have in common, if there is one.
  init?(file: ElfFile, supplement supplementFile: ElfFile?) {
    guard let opened = Self.open(file) else { return nil }
    self.file = file
    elf = opened.elf
    dwarf = opened.dwarf
    supplement = supplementFile.flatMap { file in
      Self.open(file).map { Supplement(file: file, elf: $0.elf, dwarf: $0.dwarf) }
    }
    // By itself libdw would open whatever the file names as its supplement, even a FIFO.
    dwarf_setalt(dwarf, supplement?.dwarf ?? Self.noSupplement)
    if let supplement { dwarf_setalt(supplement.dwarf, Self.noSupplement) }
    readUnitRanges()
    copiedAtStart = copiedBytes
    if isIncomplete { return nil }
  }

  /// The same, with the supplement that the file names.
  convenience init?(file: ElfFile, debugFiles: SeparateDebugFile) {
    self.init(file: file, supplement: debugFiles.supplement(of: file))
  }

  deinit {
    units = [:]
    variables = nil
    dwarf_end(dwarf)
    elf_end(elf)
    if let supplement {
      dwarf_end(supplement.dwarf)
      elf_end(supplement.elf)
    }
    file.takeBackFromLibelf()
    supplement?.file.takeBackFromLibelf()
  }

  /// The functions at a virtual address, innermost first, each with the place in it where control is: the physical function
  /// comes last. Empty if no compilation unit covers the address.
  func functions(at address: UInt64, demangle: Bool) -> [Module.Function] {
    guard let unit = unit(at: address) else { return [] }
    let before = unit.sizeInBytes
    defer { parsedSize += unit.sizeInBytes - before }
    return unit.functions(at: address, demangle: demangle)
  }

  /// Where the variable at a virtual address is declared, and its type's name.
  func declaration(ofVariableAt address: UInt64) -> (file: String?, line: Int?, type: String?)? {
    let known = variables ?? DebugVariables(dwarf)
    variables = known
    return known.declaration(at: address)
  }

  private var variables: DebugVariables?

  /// Whether something was left out because a limit was reached.
  var wasCut: Bool { isCut || units.values.contains(where: \.isCut) }
  private var isCut = false

  /// Whether so much has been parsed or copied that it is time to start anew: libdw keeps all of it until the end, and what it
  /// has seen may not change meanwhile.
  var isLarge: Bool {
    parsedSize > Self.maximumParsedSize || copiedBytes - copiedAtStart > Self.maximumCopiedSize || isIncomplete
  }
  private var parsedSize = 0
  private var copiedAtStart = 0
  private var copiedBytes: Int { file.residentBytes + (supplement?.file.residentBytes ?? 0) }

  /// Whether parts of the file could not be copied, for want of memory. What was said of it since does not count.
  var isIncomplete: Bool { file.isIncomplete || supplement?.file.isIncomplete == true }

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
    let hasLines = isLineProgramModest(of: &entry)
    let unit = CompilationUnit(entry, hasLines: hasLines)
    units[offset] = unit
    return unit
  }

  /// Whether the unit's lines can be read without taking more memory than any honest unit needs.
  private func isLineProgramModest(of entry: inout Dwarf_Die) -> Bool {
    guard let offset = DebugEntry.number(UInt32(DW_AT_stmt_list), of: &entry),
      let section = file.section(named: ".debug_line") ?? file.section(named: ".zdebug_line"),
      // The section as libdw has unpacked it.
      let data = elf_getscn(elf, section.index).flatMap({ elf_getdata($0, nil) })?.pointee
    else { return false }
    let bytes = UnsafeRawBufferPointer(start: data.d_buf, count: data.d_buf == nil ? 0 : data.d_size)
    guard var size = bytes.value(at: offset, as: UInt32.self).map(UInt64.init) else { return false }
    // The mark of the 64-bit format.
    if size == 0xffff_ffff { size = bytes.value(at: offset &+ 4, as: UInt64.self) ?? .max }
    if size > Self.maximumLineProgramSize { isCut = true }
    return size <= Self.maximumLineProgramSize
  }

  private func readUnitRanges() {
    var unit: OpaquePointer?
    var next: OpaquePointer?
    var count = 0
    var version: Dwarf_Half = 0
    var type: UInt8 = 0
    var entry = Dwarf_Die()
    var left = Self.maximumUnitRangeCount
    while dwarf_get_units(dwarf, unit, &next, &version, &type, &entry, nil) == 0 {
      unit = next
      count += 1
      guard count <= Self.maximumUnitCount else {
        isCut = true
        break
      }
      guard type == UInt8(DW_UT_compile) || type == UInt8(DW_UT_skeleton) else {
        continue
      }
      let offset = dwarf_dieoffset(&entry)
      DebugEntry.forEachRange(of: &entry, left: &left) { low, high in
        unitRanges.append(UnitRange(low: low, high: high, entry: offset))
      }
    }
    if left <= 0 { isCut = true }
    unitRanges.sort { $0.low < $1.low }
  }

  private static func open(_ file: ElfFile) -> (elf: OpaquePointer, dwarf: OpaquePointer)? {
    guard unpackedSize(of: file) <= SymbolizerOptions.mostUnpackedBytes, elf_version(UInt32(EV_CURRENT)) != 0,
      let image = file.lendToLibelf()
    else { return nil }
    guard let elf = elf_memory(image, file.size) else {
      file.takeBackFromLibelf()
      return nil
    }
    guard let dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nil) else {
      elf_end(elf)
      file.takeBackFromLibelf()
      return nil
    }
    return (elf, dwarf)
  }

  /// Bytes that libdw will unpack compressed debug sections into, all at once and unasked.
  static func unpackedSize(of file: ElfFile) -> UInt64 {
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
}
