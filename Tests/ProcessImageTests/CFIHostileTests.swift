import Glibc
import Testing

@testable import ProcessImage

/// Damaged sections must neither trap nor read out of bounds nor take long, whatever they say.
@Suite struct CFIHostileTests {
  /// Mutations tried; LEAKTRACE_FUZZ_ROUNDS asks for more.
  private static let rounds = getenv("LEAKTRACE_FUZZ_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 400

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
    var generator = SplitMix64(state: 1)
    for round in 0..<Self.rounds {
      var bytes = original
      for _ in 0..<(1 + round % 16) {
        let index = Int.random(in: bytes.indices, using: &generator)
        switch round % 4 {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &generator)
        case 2: bytes[index] = [0, 0x7f, 0x80, 0xff].randomElement(using: &generator)!
        default: bytes.swapAt(index, Int.random(in: bytes.indices, using: &generator))
        }
      }
      if round % 8 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
      _ = convert(bytes)
    }
  }

  @Test func noise() {
    var generator = SplitMix64(state: 2)
    for _ in 0..<2000 {
      let count = Int.random(in: 0..<400, using: &generator)
      _ = convert((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
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

/// A small reproducible generator.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
