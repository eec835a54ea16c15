import CTraceABI

/// Converts `.eh_frame` to a ``CFITable``, and `.debug_frame` for the functions that `.eh_frame` does not describe.
///
/// The section may come from a hostile file. Therefore every read is checked, malformed records are counted and left
/// out, and both time and memory are linear in the size of the section. The format is described in the Linux Standard
/// Base 5.0, chapter 10.6, and in DWARF 5, section 6.4.
package struct CFIConverter {
  /// The limits of a conversion. A file that exceeds them cannot make leaktrace use much time or memory.
  package struct Limits: Sendable {
    /// The largest table, in 32-bit words.
    package var words: Int
    /// The largest distance between the start of the first function and the end of the last one, in bytes.
    package var textSpan: UInt64
    /// The largest section, in bytes. Those of browsers and compilers have some 30 MiB.
    package var sectionBytes: Int
    /// The largest number of functions (FDEs), and of common parts (CIEs), that are read.
    package var functions: Int
    package var commons: Int

    package init(
      words: Int = 6 << 20, textSpan: UInt64 = 1 << 30, sectionBytes: Int = 64 << 20,
      functions: Int = 1 << 20, commons: Int = 1 << 16
    ) {
      self.words = words
      self.textSpan = textSpan
      self.sectionBytes = min(sectionBytes, Int(UInt32.max))
      self.functions = functions
      self.commons = commons
    }
  }

  /// A function (FDE) that the first pass has found.
  struct Function {
    var start: UInt64
    var size: UInt64
    /// Where the function's call-frame program is in the section.
    var programStart: UInt32
    var programEnd: UInt32
    /// Index of its common part (CIE) in `commons`.
    var common: UInt32
    /// Whether it is in `.debug_frame`.
    var isDebug: Bool
  }

  /// A section, and what has to be known to read it.
  struct Section {
    var bytes: UnsafeRawBufferPointer
    /// Its virtual address in the file.
    var address: UInt64
    /// Whether this is `.debug_frame`, where other identifiers are used and no pointers are relative to the section.
    var isDebug: Bool
  }

  private let ehFrame: Section
  private let debugFrame: Section?
  /// The section that is being read.
  private(set) var section: Section
  let executableRange: Range<UInt64>
  /// Functions at which stacks end, whatever the sections say of them.
  private let outermost: [Range<UInt64>]
  let limits: Limits

  var commons: [CFICommonInformation] = []
  var functions: [Function] = []
  var output = CFITableBuilder()

  // The state of the call-frame program that is being executed.
  var state = CFIState()
  var remembered: [CFIState] = []
  var address: UInt64 = 0

  /// Converts the sections of one file.
  ///
  /// - Parameters:
  ///   - ehFrame: the contents of `.eh_frame`; must stay valid and unchanged during the call.
  ///   - sectionAddress: the virtual address of `.eh_frame` in the file.
  ///   - debugFrame: the contents of `.debug_frame`; empty if there is none.
  ///   - executableRange: the virtual addresses that the executable segments span; functions outside of it are left
  ///     out.
  ///   - outermost: functions at which stacks end, whatever the sections say of them: what called them is on another stack.
  /// - Throws: ``CFIError``.
  package static func convert(
    ehFrame: UnsafeRawBufferPointer, sectionAddress: UInt64,
    debugFrame: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    executableRange: Range<UInt64>, outermost: [Range<UInt64>] = [], limits: Limits = Limits()
  ) throws(CFIError) -> CFITable {
    var converter = CFIConverter(
      ehFrame: Section(bytes: ehFrame, address: sectionAddress, isDebug: false),
      debugFrame: debugFrame.isEmpty ? nil : Section(bytes: debugFrame, address: 0, isDebug: true),
      executableRange: executableRange, outermost: outermost, limits: limits)
    return try converter.convert()
  }

  private init(
    ehFrame: Section, debugFrame: Section?, executableRange: Range<UInt64>, outermost: [Range<UInt64>], limits: Limits
  ) {
    self.ehFrame = ehFrame
    self.debugFrame = debugFrame
    section = ehFrame
    self.executableRange = executableRange
    self.outermost = outermost
    self.limits = limits
  }

  private mutating func convert() throws(CFIError) -> CFITable {
    for section in [ehFrame, debugFrame].compactMap({ $0 }) {
      let size = section.bytes.count
      guard size <= limits.sectionBytes else { throw .tooLarge(words: size / 4) }
      self.section = section
      readRecords()
    }
    guard functions.count < limits.functions else { throw .tooLarge(words: functions.count) }
    takeOutermost()
    let order = CFIFunctionOrder.ascending(functions)
    guard let first = order.first else { throw .empty }
    let start = functions[Int(first)].start
    output.begin(at: start)
    for index in order {
      let function = functions[Int(index)]
      section = function.isDebug ? debugFrame ?? ehFrame : ehFrame
      // Both ends are checked because the table has an entry for every block up to the end of the last function.
      let offset = function.start - start
      guard offset < limits.textSpan, function.size <= limits.textSpan - offset else {
        output.statistics.malformedRecords += 1
        continue
      }
      if function.common == Self.noCommon {
        output.beginFunction(start: function.start, end: function.start + function.size)
        output.append(address: function.start, rule: CFIRule.end)
        output.endFunction(end: function.start + function.size)
      } else {
        run(function)
      }
      guard output.wordCount <= limits.words else { throw .tooLarge(words: output.wordCount) }
    }
    return output.finish()
  }

  /// The common part of a function that has none, because stacks end there.
  private static let noCommon = UInt32.max

  private mutating func takeOutermost() {
    if outermost.isEmpty { return }
    functions.removeAll { function in outermost.contains { $0.contains(function.start) } }
    for range in outermost where executableRange.contains(range.lowerBound) {
      functions.append(
        Function(
          start: range.lowerBound, size: UInt64(range.count), programStart: 0, programEnd: 0, common: Self.noCommon,
          isDebug: false))
    }
  }
}

// MARK: - Records

extension CFIConverter {
  /// The records from the start of the section up to the first record of length 0, which ends the section.
  static func untilTerminator(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard let base = bytes.baseAddress else { return bytes }
    var reader = CFIReader(base: base, position: 0, end: bytes.count)
    while !reader.failed, reader.end - reader.position >= 4 {
      let start = reader.position
      let shortLength = reader.read(UInt32.self)
      if shortLength == 0 { return UnsafeRawBufferPointer(rebasing: bytes[..<start]) }
      reader.skip(shortLength == 0xffff_ffff ? reader.read(UInt64.self) : UInt64(shortLength))
    }
    return bytes
  }

  /// Finds all functions (FDEs) and the common parts (CIEs) that they refer to. Only a CIE that comes before the
  /// function counts: if a function could refer to any place, a hostile section could make each byte be read very
  /// often.
  private mutating func readRecords() {
    guard let base = section.bytes.baseAddress else { return }
    functions.reserveCapacity(functions.count + min(section.bytes.count / 64, limits.functions))
    var indexOfCommon: [Int: Int] = [:]
    var lastCommon = (offset: -1, index: -1)
    var reader = CFIReader(base: base, position: 0, end: section.bytes.count)

    while reader.end - reader.position >= 4, functions.count < limits.functions {
      let recordStart = reader.position
      let shortLength = reader.read(UInt32.self)
      // A length of 0 ends the section. It is skipped instead, because some linkers leave one inside of a section.
      if shortLength == 0 { continue }
      let is64Bit = shortLength == 0xffff_ffff
      let length = is64Bit ? reader.read(UInt64.self) : UInt64(shortLength)
      let start = reader.position
      reader.skip(length)
      if reader.failed {
        output.statistics.malformedRecords += 1
        return
      }
      var record = CFIReader(base: base, position: start, end: reader.position)
      let identifier =
        is64Bit ? Int(truncatingIfNeeded: record.read(UInt64.self)) : Int(record.read(UInt32.self))
      // In `.eh_frame`, 0 marks a CIE; in `.debug_frame`, all ones do. Any other identifier refers to the CIE of a
      // function: in `.eh_frame` by the distance back to it, in `.debug_frame` by its offset in the section.
      let mark = section.isDebug ? (is64Bit ? -1 : Int(UInt32.max)) : 0
      if identifier == mark {
        if readCommonInformation(&record) {
          indexOfCommon[recordStart] = commons.count - 1
        } else {
          output.statistics.malformedRecords += 1
        }
        continue
      }
      let offset = section.isDebug ? identifier : start &- identifier
      if offset != lastCommon.offset { lastCommon = (offset, indexOfCommon[offset] ?? -1) }
      if lastCommon.index < 0 || !readFunction(&record, common: lastCommon.index) {
        output.statistics.malformedRecords += 1
      }
    }
  }

  /// Reads a common part (CIE) from the byte after its identifier. Returns false if it is malformed.
  private mutating func readCommonInformation(_ reader: inout CFIReader) -> Bool {
    guard commons.count < limits.commons else { return false }
    var common = CFICommonInformation()
    let version = reader.readByte()
    guard version == 1 || version == 3 || version == 4 && section.isDebug else { return false }
    var augmentation: [UInt8] = []
    while case let byte = reader.readByte(), byte != 0 {
      guard augmentation.count < 16 else { return false }
      augmentation.append(byte)
    }
    if version == 4 {
      // The sizes of an address and of a segment selector, in bytes.
      guard reader.readByte() == 8, reader.readByte() == 0 else { return false }
    }
    common.codeAlignment = reader.readULEB128()
    common.dataAlignment = reader.readSLEB128()
    common.returnAddressRegister = version == 1 ? UInt64(reader.readByte()) : reader.readULEB128()
    if augmentation.first == UInt8(ascii: "z") {
      common.hasAugmentationData = true
      let size = reader.readULEB128()
      let dataStart = reader.position
      reader.skip(size)
      guard !reader.failed else { return false }
      var data = CFIReader(base: reader.base, position: dataStart, end: reader.position)
      guard readAugmentation(augmentation.dropFirst(), data: &data, into: &common) else {
        return false
      }
    } else if !augmentation.isEmpty {
      return false
    }
    guard !reader.failed, common.returnAddressRegister == CFIState.returnAddressColumn else {
      return false
    }

    state = CFIState()
    address = 0
    remembered.removeAll(keepingCapacity: true)
    execute(&reader, common: common, end: 0)
    guard !reader.failed else { return false }
    common.initialState = state
    commons.append(common)
    return true
  }

  private func readAugmentation(
    _ letters: ArraySlice<UInt8>, data: inout CFIReader, into common: inout CFICommonInformation
  ) -> Bool {
    for letter in letters {
      switch letter {
      case UInt8(ascii: "R"): common.pointerEncoding = data.readByte()
      case UInt8(ascii: "L"): _ = data.readByte()
      case UInt8(ascii: "P"):
        // The pointer is read only to skip it: only its size matters, and so it may be an indirect one.
        let encoding = data.readByte() & 0x0f
        guard data.readPointer(encoding: encoding, sectionAddress: section.address) != nil else {
          return false
        }
      case UInt8(ascii: "S"): common.isSignalFrame = true
      default: return false
      }
    }
    return !data.failed
  }

  private mutating func readFunction(_ record: inout CFIReader, common index: Int) -> Bool {
    let encoding = commons[index].pointerEncoding
    guard let start = record.readPointer(encoding: encoding, sectionAddress: section.address),
      let size = record.readPointer(encoding: encoding & 0x0f, sectionAddress: section.address)
    else { return false }
    if commons[index].hasAugmentationData { record.skip(record.readULEB128()) }
    guard !record.failed else { return false }
    // Where linkers have discarded code, they leave behind functions that are empty or begin at address 0.
    guard size != 0, executableRange.contains(start) else { return true }
    functions.append(
      Function(
        start: start, size: min(size, executableRange.upperBound - start),
        programStart: UInt32(record.position), programEnd: UInt32(record.end),
        common: UInt32(index), isDebug: section.isDebug))
    return true
  }
}
