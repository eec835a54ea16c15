/// By what the code of an allocator is known that is linked into a program without symbols: the sections of a static library
/// of Debian in which its functions are. `Scripts/draw-signatures` takes them from there.
package struct AllocatorSignature: Sendable {
  /// Of the allocator.
  package var name: String
  /// The package that the library is from, and its version.
  package var package: String
  package var units: [Unit] = []

  /// The functions of one section of one object file, which the linker keeps together: all offsets are from its beginning.
  package struct Unit: Sendable {
    /// Bytes by which it is looked for, and where they are.
    package var anchor: [UInt8]
    package var anchorOffset: UInt64
    package var functions: [Function] = []
    package var calls: [Call] = []
  }

  package struct Function: Sendable {
    package var name: String
    package var offset: UInt64
    /// In bytes.
    package var size: UInt64
    /// FNV-1a of the first 512 bytes, without those that the linker writes.
    package var hash: UInt64
    /// Which bytes of the function the linker writes, rising.
    package var gaps: [Range<Int>]
    package static let hashedBytes: UInt64 = 512
  }

  /// A call of a function of another unit: its displacement is at `offset`.
  package struct Call: Sendable {
    package var offset: UInt64
    package var unit: Int
    package var target: UInt64
  }

  package static let all = parsed(text)

  /// Reads what `Scripts/draw-signatures` has written.
  static func parsed(_ text: String) -> [AllocatorSignature] {
    var signatures: [AllocatorSignature] = []
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      let numbers = words.map { UInt64($0, radix: 16) ?? 0 }
      let (library, unit) = (signatures.count - 1, (signatures.last?.units.count ?? 0) - 1)
      switch words.first {
      case "library" where words.count == 4:
        signatures.append(AllocatorSignature(name: words[1], package: "\(words[2]) \(words[3])"))
      case "unit" where words.count == 3 && library >= 0:
        signatures[library].units.append(Unit(anchor: bytes(words[2]), anchorOffset: numbers[1]))
      case "function" where words.count == 6 && unit >= 0:
        signatures[library].units[unit].functions.append(
          Function(name: words[1], offset: numbers[2], size: numbers[3], hash: numbers[4], gaps: gaps(words[5])))
      case "call" where words.count == 4 && unit >= 0:
        signatures[library].units[unit].calls.append(
          Call(offset: numbers[1], unit: Int(clamping: UInt64(words[2]) ?? 0), target: numbers[3]))
      default: break
      }
    }
    return signatures
  }

  private static func bytes(_ digits: String) -> [UInt8] {
    let digits = Array(digits.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
      UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
    }
  }

  /// `b+4,3c+4`: begin and length of each.
  private static func gaps(_ text: String) -> [Range<Int>] {
    text.split(separator: ",").compactMap { part in
      let numbers = part.split(separator: "+").compactMap { Int($0, radix: 16) }
      return numbers.count == 2 ? numbers[0]..<(numbers[0] + numbers[1]) : nil
    }
  }
}

extension AllocatorSignature.Function {
  /// Whether code that begins at the first of these bytes is this function.
  package func matches(_ code: some RandomAccessCollection<UInt8>) -> Bool {
    let length = Int(clamping: min(size, Self.hashedBytes))
    guard code.count >= length else { return false }
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    var gaps = gaps[...]
    for (place, byte) in code.prefix(length).enumerated() {
      while let gap = gaps.first, gap.upperBound <= place { gaps.removeFirst() }
      if gaps.first?.contains(place) == true { continue }
      state = (state ^ UInt64(byte)) &* 0x100_0000_01b3
    }
    return state == hash
  }
}
