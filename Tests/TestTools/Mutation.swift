import Glibc

/// How many damaged inputs a test tries: `LEAKTRACE_FUZZ_ROUNDS`, or else what takes a second or two.
package func fuzzRounds(_ standard: Int) -> Int { fuzzSetting("LEAKTRACE_FUZZ_ROUNDS") ?? standard }

private func fuzzSetting(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

/// Damages bytes the way a hostile file would: in the fields that say where things are and how large they are.
package struct Mutator {
  private var random: SplitMix64

  /// The same seed gives the same damage, and another one for each `LEAKTRACE_FUZZ_SEED`.
  package init(seed: UInt64) {
    random = SplitMix64(state: seed &+ UInt64(fuzzSetting("LEAKTRACE_FUZZ_SEED") ?? 0) &* 0x1_0000_0000)
  }

  /// Changes one to eight places, most of them inside `focus`, sometimes cuts the end off.
  package mutating func mutate(_ original: [UInt8], focus: [Range<Int>]) -> [UInt8] {
    var bytes = original
    for _ in 0..<Int.random(in: 1...8, using: &random) {
      let range: Range<Int>
      if let picked = focus.randomElement(using: &random), Int.random(in: 0..<8, using: &random) > 0 {
        range = picked.clamped(to: 0..<bytes.count)
      } else {
        range = 0..<bytes.count
      }
      guard !range.isEmpty else { continue }
      let position = Int.random(in: range, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      default:
        let value = Self.nastyValues.randomElement(using: &random)!
        let width = [1, 2, 4, 8].randomElement(using: &random)!
        let aligned = position & ~(width - 1)
        for offset in 0..<width where aligned + offset < bytes.count {
          bytes[aligned + offset] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(offset)))
        }
      }
    }
    if Int.random(in: 0..<10, using: &random) == 0, !bytes.isEmpty {
      bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
    }
    FuzzInput.shared?.keep(bytes)
    return bytes
  }

  /// Bytes without any structure.
  package mutating func noise(count: ClosedRange<Int>) -> [UInt8] {
    let bytes = (0..<Int.random(in: count, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    FuzzInput.shared?.keep(bytes)
    return bytes
  }

  private static let nastyValues: [UInt64] = [
    0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff, 0x10000,
    0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000, 0xffff_ffff_ffff_fff0, 0xffff_ffff_ffff_ffff,
  ]
}

/// The input under test in a file, `LEAKTRACE_FUZZ_INPUT`, for when it ends the process: 8 bytes of length, then the bytes.
private final class FuzzInput: @unchecked Sendable {
  static let shared = getenv("LEAKTRACE_FUZZ_INPUT").flatMap { FuzzInput(path: String(cString: $0)) }
  private static let size = 16 << 20
  private let memory: UnsafeMutableRawPointer

  private init?(path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    guard descriptor >= 0, ftruncate(descriptor, Self.size) == 0,
      let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { return nil }
    self.memory = memory
  }

  func keep(_ bytes: [UInt8]) {
    let count = min(bytes.count, Self.size - 8)
    memory.storeBytes(of: count, as: Int.self)
    bytes.withUnsafeBytes {
      memory.advanced(by: 8).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: count)
    }
  }
}

/// A small random number generator with a seed.
package struct SplitMix64: RandomNumberGenerator {
  package var state: UInt64
  package init(state: UInt64) { self.state = state }
  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
