import CTraceABI
import TestTools
import Testing

@testable import ProcessImage

/// Hand-made sections: instructions, encodings, and what becomes of nonsense.
@Suite struct CFIConverterTests {
  static let address: UInt64 = 0x10000
  static let text: Range<UInt64> = 0x1000..<0x8000

  /// Makes an `.eh_frame` section.
  struct Section {
    var bytes: [UInt8] = []

    mutating func append32(_ value: UInt32) {
      withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Appends a record: its length, the identifier, the body.
    mutating func record(identifier: UInt32?, _ body: [UInt8]) {
      let start = bytes.count
      append32(UInt32(body.count + 4))
      append32(identifier ?? UInt32(start + 4))
      bytes.append(contentsOf: body)
    }

    /// A CIE like a compiler's: CFA = rsp + 8, return address at CFA − 8, absolute 32-bit pointers.
    mutating func common(augmentation: String = "zR", data: [UInt8] = [3], program: [UInt8] = []) {
      let head: [UInt8] = [1] + Array(augmentation.utf8) + [0, 1, 0x78, 16]
      let tail = augmentation.isEmpty ? [] : [UInt8(data.count)] + data
      record(identifier: 0, head + tail + [0x0c, 7, 8, 0x90, 1] + program)
    }

    mutating func function(_ start: UInt32, _ size: UInt32, _ program: [UInt8]) {
      var body: [UInt8] = []
      withUnsafeBytes(of: start) { body.append(contentsOf: $0) }
      withUnsafeBytes(of: size) { body.append(contentsOf: $0) }
      record(identifier: nil, body + [0] + program)
    }
  }

  func convert(_ section: Section, limits: CFIConverter.Limits = .init()) throws -> CFITable {
    try section.bytes.withUnsafeBytes {
      try CFIConverter.convert(
        ehFrame: $0, sectionAddress: Self.address, executableRange: Self.text, limits: limits)
    }
  }

  static func rsp(_ offset: Int64, rbp: Int64 = 0) -> UInt64 {
    CFIRule.encode(LT_UNWIND_RULE_STACK_POINTER, cfaOffset: offset, framePointerOffset: rbp)
  }
  static func rbp(_ offset: Int64, rbp: Int64 = 0) -> UInt64 {
    CFIRule.encode(LT_UNWIND_RULE_FRAME_POINTER, cfaOffset: offset, framePointerOffset: rbp)
  }

  @Test func followsAFramePointersLife() throws {
    var section = Section()
    section.common()
    // push rbp at 0; mov rbp, rsp at 1; leave at 0x20; ret at 0x21
    section.function(
      0x1000, 0x22, [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x5d, 0x0c, 7, 8, 0xc6])
    let table = try convert(section)
    #expect(table.rule(at: 0x1000) == Self.rsp(8))
    #expect(table.rule(at: 0x1001) == Self.rsp(16, rbp: -16))
    #expect(table.rule(at: 0x1004) == Self.rbp(16, rbp: -16))
    #expect(table.rule(at: 0x1020) == Self.rbp(16, rbp: -16))
    #expect(table.rule(at: 0x1021) == Self.rsp(8))
    #expect(table.rule(at: 0x1022) == CFIRule.noRow)
    #expect(table.rule(at: 0xfff) == CFIRule.noRow)
    #expect(table.statistics.functions == 1)
  }

  @Test func rememberedStatesNest() throws {
    var section = Section()
    section.common()
    section.function(
      0x1000, 0x20, [0x0a, 0x41, 0x0e, 16, 0x0a, 0x41, 0x0e, 24, 0x41, 0x0b, 0x41, 0x0b])
    let table = try convert(section)
    #expect(
      (0..<6).map { table.rule(at: 0x1000 + $0) }
        == [8, 16, 24, 16, 8, 8].map { Self.rsp($0) })
  }

  @Test func gapsHaveNoRowButPaddingHas() throws {
    var section = Section()
    section.common()
    section.function(0x1000, 0x11, [])
    section.function(0x1020, 0x10, [])
    section.function(0x2000, 0x10, [])
    let table = try convert(section)
    #expect(table.rule(at: 0x1018) == Self.rsp(8))
    #expect(table.rule(at: 0x1030) == CFIRule.noRow)
    #expect(table.rule(at: 0x1fff) == CFIRule.noRow)
    #expect(table.rule(at: 0x2000) == Self.rsp(8))
    #expect(table.rows.count == 4)
  }

  @Test func orderDoesNotMatterAndOverlapsKeepTheFirst() throws {
    var section = Section()
    section.common()
    section.function(0x3000, 0x10, [])
    section.function(0x1000, 0x20, [])
    section.function(0x1010, 0x20, [0x0e, 64])
    let table = try convert(section)
    #expect(table.rule(at: 0x101f) == Self.rsp(8))
    #expect(table.rule(at: 0x1020) == Self.rsp(64))
    #expect(table.rule(at: 0x1030) == CFIRule.noRow)
    #expect(table.rule(at: 0x3000) == Self.rsp(8))
    #expect(table.statistics.overlappingFunctions == 1)
  }

  @Test func unusualRulesAreRecognised() throws {
    let cases: [(program: [UInt8], rule: UInt64)] = [
      // def_cfa_expression: breg6 −40, deref; rbp at breg6 + 0
      (
        [0x0f, 3, 0x76, 0x58, 0x06, 0x10, 6, 2, 0x76, 0],
        CFIRule.encode(
          LT_UNWIND_RULE_FRAME_POINTER_DEREFERENCED, cfaOffset: -40,
          auxiliary: UInt64(LT_UNWIND_RULE_AUX_FRAME_POINTER_RELATIVE))
      ),
      // breg7 40, deref, plus_uconst 8
      (
        [0x0f, 5, 0x77, 40, 0x06, 0x23, 8],
        CFIRule.encode(LT_UNWIND_RULE_STACK_POINTER_DEREFERENCED, cfaOffset: 40, auxiliary: 8)
      ),
      // A procedure linkage table.
      (
        [0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22],
        CFIRule.encode(LT_UNWIND_RULE_PLT, cfaOffset: 8, auxiliary: 11)
      ),
      ([0x07, 16], CFIRule.end),  // undefined: rip
      ([0x0d, 10], CFIRule.unsupported),  // the CFA in r10
      ([0x09, 6, 3], CFIRule.unsupported),  // rbp in rbx
      ([0x16, 6, 1, 0x30], CFIRule.unsupported),  // rbp by a value expression
      ([0x0e, 0x88, 0x80, 0x04], Self.rsp(65544)),  // too large for a plain code
      ([0x12, 6, 0x7e], Self.rbp(16)),  // def_cfa_sf, factored by −8
      ([0x2f, 6, 2], Self.rsp(8, rbp: 16)),  // GNU_negative_offset_extended
      ([0x2e, 16], Self.rsp(8)),  // GNU_args_size
    ]
    for (program, rule) in cases {
      var section = Section()
      section.common()
      section.function(0x1000, 0x10, program)
      #expect(try convert(section).rule(at: 0x1000) == rule, "\(program)")
    }
  }

  @Test func signalFramesMustLookLikeTheKernels() throws {
    func signalFrame(pcOffset: [UInt8]) throws -> UInt64 {
      var section = Section()
      section.common(augmentation: "zRS", data: [3])
      section.function(
        0x1000, 0x10,
        [0x0f, 4, 0x77, 0xa0, 1, 0x06, 0x10, 6, 3, 0x77, 0xf8, 0, 0x10, 7, 3, 0x77, 0xa0, 1]
          + [0x10, 16, 3, 0x77] + pcOffset)
      return try convert(section).rule(at: 0x1000)
    }
    #expect(
      try signalFrame(pcOffset: [0xa8, 1]) == CFIRule.encode(LT_UNWIND_RULE_SIGNAL, cfaOffset: 0))
    #expect(try signalFrame(pcOffset: [0xb0, 1]) == CFIRule.unsupported)
  }

  @Test func plainCodesSayWhatTheRulesSay() {
    for rbp in [0, -16, -24, -64] as [Int64] {
      for offset in [8, 16, 4096, 16384] as [Int64] {
        for rule in [Self.rsp(offset, rbp: rbp), Self.rbp(offset, rbp: rbp)] {
          let code = CFIRule.plainCode(rule)
          #expect(code.map(CFIRule.rule(plainCode:)) == rule)
        }
      }
    }
    for rule in [
      Self.rsp(0), Self.rsp(-8), Self.rsp(12), Self.rsp(16392), Self.rsp(16, rbp: -8),
      Self.rsp(16, rbp: -72), Self.rsp(16, rbp: 8), Self.rsp(16, rbp: -20), CFIRule.end,
    ] {
      #expect(CFIRule.plainCode(rule) == nil)
    }
  }

  @Test func nothingIsAnError() {
    #expect(throws: CFIError.empty) { try convert(Section()) }
    var section = Section()
    section.common()
    #expect(throws: CFIError.empty) { try convert(section) }
    section.function(0x9000, 0x10, [])  // outside of the text
    #expect(throws: CFIError.empty) { try convert(section) }
  }

  @Test func sizeIsLimited() {
    var section = Section()
    section.common()
    for index in 0..<200 as Range<UInt32> {
      section.function(0x1000 + index * 64, 64, [0x41, 0x0e, 16, 0x41, 0x0e, 24])
    }
    #expect(throws: CFIError.self) { try convert(section, limits: .init(words: 100)) }
  }

  @Test func sectionHeadersAreNotNeeded() throws {
    let path = "/lib/x86_64-linux-gnu/libc.so.6"
    var bytes = contents(of: path)
    let expected = try CFITable(file: ElfFile(path: path))
    // e_shoff, e_shnum and e_shstrndx
    for index in Array(0x28..<0x30) + Array(0x3c..<0x40) { bytes[index] = 0 }
    let directory = try TemporaryDirectory()
    let file = try ElfFile(path: directory.write("stripped", bytes))
    #expect(file.sections.isEmpty)
    let table = try CFITable(file: file)
    #expect(table.rows == expected.rows)
    #expect(table.blockStarts == expected.blockStarts)
  }

  // MARK: - .debug_frame

  /// Makes a `.debug_frame` section of version 4 with one function, CFA = rsp + `offset`.
  private func debugFrame(_ start: UInt64, _ size: UInt64, offset: UInt8, version: UInt8 = 4) -> [UInt8] {
    var section = Section()
    let sizes: [UInt8] = version == 4 ? [8, 0] : []
    section.record(identifier: .max, [version, 0] + sizes + [1, 0x78, 16, 0x0c, 7, offset, 0x90, 1])
    var body: [UInt8] = []
    for word in [start, size] { withUnsafeBytes(of: word) { body.append(contentsOf: $0) } }
    section.record(identifier: 0, body)
    return section.bytes
  }

  private func convert(_ section: Section, debugFrame: [UInt8]) throws -> CFITable {
    try section.bytes.withUnsafeBytes { bytes in
      try debugFrame.withUnsafeBytes {
        try CFIConverter.convert(
          ehFrame: bytes, sectionAddress: Self.address, debugFrame: $0, executableRange: Self.text)
      }
    }
  }

  @Test(arguments: [1, 3, 4] as [UInt8])
  func takesFunctionsFromDebugFrame(version: UInt8) throws {
    let table = try convert(Section(), debugFrame: debugFrame(0x2000, 0x20, offset: 24, version: version))
    #expect(table.rule(at: 0x2000) == Self.rsp(24))
    #expect(table.rule(at: 0x201f) == Self.rsp(24))
    #expect(table.rule(at: 0x2020) == CFIRule.noRow)
    #expect(table.statistics == CFITable.Statistics(functions: 1))
  }

  @Test func ehFrameCountsMoreThanDebugFrame() throws {
    var section = Section()
    section.common()
    section.function(0x2000, 0x20, [])
    // The same function, and more behind it.
    let table = try convert(section, debugFrame: debugFrame(0x2000, 0x40, offset: 24))
    #expect(table.rule(at: 0x2000) == Self.rsp(8))
    #expect(table.rule(at: 0x201f) == Self.rsp(8))
    #expect(table.rule(at: 0x2020) == Self.rsp(24))
    #expect(table.rule(at: 0x203f) == Self.rsp(24))
  }

  @Test func debugFrameOfOtherMachinesIsLeftOut() throws {
    #expect(throws: CFIError.empty) {
      try convert(Section(), debugFrame: debugFrame(0x2000, 0x20, offset: 24, version: 2))
    }
    var section = Section()
    section.record(identifier: .max, [4, 0, 4, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1])
    section.record(identifier: 0, [0, 0x20, 0, 0, 0x20, 0, 0, 0])
    #expect(throws: CFIError.empty) { try convert(Section(), debugFrame: section.bytes) }
  }
}
