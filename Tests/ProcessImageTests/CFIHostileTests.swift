import Glibc
import TestTools
import Testing

@testable import ProcessImage

/// Damaged sections must neither trap nor read out of bounds nor take long, whatever they say.
@Suite struct CFIHostileTests {
  private func convert(_ bytes: [UInt8]) -> CFITable? {
    // An exact allocation of its own, so that tools which watch memory see a read past the end.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    let table = try? CFIConverter.convert(
      ehFrame: UnsafeRawBufferPointer(copy), sectionAddress: 0x10_0000,
      executableRange: 0..<0x4000_0000, limits: .init(words: 1 << 20, textSpan: 1 << 26))
    if let table { check(table) }
    return table
  }

  /// What the walker relies on.
  private func check(_ table: CFITable) {
    var isSound = table.textStart & 0xff == 0 && table.blockStarts.last == UInt32(table.rows.count)
    for block in 0..<table.blockCount where table.blockStarts[block] > table.blockStarts[block + 1] {
      isSound = false
    }
    var next: UInt64 = 0
    table.forEachRow { address, _ in
      if address < next { isSound = false }
      next = address + 1
    }
    #expect(isSound)
  }

  @Test func mutationsOfARealSection() throws {
    let file = try ElfFile(path: "/lib/x86_64-linux-gnu/libgcc_s.so.1")
    let section = try #require(file.section(named: ".eh_frame"))
    let original = Array(try #require(file.contents(of: section)).prefix(3000))
    var mutator = Mutator(seed: 1)
    var converted = 0
    let rounds = fuzzRounds(2_000)
    for _ in 0..<rounds where convert(mutator.mutate(original, focus: [])) != nil { converted += 1 }
    #expect(converted > rounds / 2)
  }

  @Test func noise() {
    var mutator = Mutator(seed: 2)
    for _ in 0..<fuzzRounds(2_000) { _ = convert(mutator.noise(count: 0...400)) }
  }

  /// The way to the section, too: section headers, and program headers where those are stripped.
  @Test(arguments: [true, false])
  func mutationsOfAFile(hasSectionHeaders: Bool) throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("f.c", "int f(int a) { return a * 3; }\nint main(void) { return f(2); }\n")
    try run(["gcc", "-O2", "-o", directory.file("f"), source])
    var bytes = contents(of: directory.file("f"))
    let file = try ElfFile(path: directory.file("f"))
    let focus = [".eh_frame", ".eh_frame_hdr"].compactMap { file.section(named: $0) }.map {
      Int($0.offset)..<Int($0.offset + $0.size)
    }
    if !hasSectionHeaders {
      // e_shoff, e_shnum and e_shstrndx.
      for index in Array(40..<48) + Array(60..<64) { bytes[index] = 0 }
    }
    var mutator = Mutator(seed: hasSectionHeaders ? 3 : 4)
    var converted = 0
    let rounds = fuzzRounds(2_000)
    for _ in 0..<rounds {
      let damaged = mutator.mutate(bytes, focus: focus + [64..<800, (bytes.count - 2200)..<bytes.count])
      guard let file = try? damaged.withUnsafeBytes({ try ElfFile(copying: $0, name: "f") }),
        let table = try? CFITable(file: file, limits: .init(words: 1 << 20, textSpan: 1 << 26))
      else { continue }
      converted += 1
      check(table)
    }
    #expect(converted > rounds / 10)
  }

  @Test func extremes() {
    var section = CFIConverterTests.Section()
    section.common()
    // Functions that cover everything, end past the address space, or start at its end.
    section.function(0, .max, [0x04, 0xff, 0xff, 0xff, 0xff])
    section.function(0xffff_ffff, 0xffff_ffff, [])
    section.function(0x1000, 0x1000, Array(repeating: 0x0a, count: 5000))  // remember for ever
    section.function(0x1000, 0x1000, Array(repeating: 0x0b, count: 100))  // restore what is not there
    section.function(0x1000, 0x1000, Array(repeating: 0x80, count: 100))  // unending LEB128
    section.function(0x1000, 0x1000, [0x0f] + Array(repeating: 0xff, count: 9) + [1])
    section.function(0x2000, 0x1000, [0x01, 0, 0, 0, 0, 0x0e, 16])  // set_loc backwards
    _ = convert(section.bytes)
    // Lengths of 64 bits that lie, and an identifier that points outside.
    _ = convert([0xff, 0xff, 0xff, 0xff] + Array(repeating: 0xff, count: 12))
    _ = convert([0xff, 0xff, 0xff, 0xff, 12, 0, 0, 0, 0, 0, 0, 0] + Array(repeating: 0x80, count: 12))
    _ = convert([8, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0])
  }

  /// A table has an entry for each 256 bytes of code: a length that lies must not make a table of gigabytes.
  @Test func functionOfTerabytes() throws {
    var section = CFIConverterTests.Section()
    section.common()
    section.function(0x1000, 0x100, [0x44, 0x0e, 16])
    section.function(0x2000, 0x7000_0000, [0x44, 0x0e, 32])
    let bytes = section.bytes
    let table = try bytes.withUnsafeBytes {
      try CFIConverter.convert(
        ehFrame: $0, sectionAddress: 0x10_0000, executableRange: 0..<0x7fff_ffff_ffff,
        limits: .init(words: 1 << 20, textSpan: 1 << 26))
    }
    #expect(table.statistics.malformedRecords == 1)
    #expect(table.blockCount < 100)
    check(table)
  }

  @Test func functionsCannotMakeCommonPartsOutOfAnything() {
    // Every offset of a long run of no-operations looks like a common part; each would be executed to the end.
    var section = CFIConverterTests.Section()
    section.common(program: Array(repeating: 0, count: 1 << 20))
    for index in 0..<20_000 as Range<UInt32> {
      var body: [UInt8] = []
      for value in [0x1000 + index * 16, 16] {
        withUnsafeBytes(of: value) { body.append(contentsOf: $0) }
      }
      section.record(identifier: UInt32(section.bytes.count) + 4 - (index * 4 + 40), body + [0])
    }
    let time = ContinuousClock().measure { #expect(convert(section.bytes) == nil) }
    #expect(time < .seconds(2))
  }

  @Test func rowsOfOneByteEachAreLinear() {
    var section = CFIConverterTests.Section()
    section.common()
    var program: [UInt8] = []
    for index in 0..<100_000 { program += [0x41, 0x0e, UInt8(8 + 8 * (index % 2))] }
    section.function(0x1000, 0x100_0000, program)
    #expect(convert(section.bytes)?.rows.count == 100_001)
  }
}
