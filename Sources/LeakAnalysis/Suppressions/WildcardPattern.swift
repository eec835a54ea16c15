/// Valgrind's patterns for names: `*` stands for any number of characters, `?` for one; all of the name must match.
struct WildcardPattern: Hashable, Sendable {
  private let bytes: [UInt8]

  init(_ text: some StringProtocol) { bytes = Array(text.utf8) }

  private static let any = UInt8(ascii: "*")
  private static let one = UInt8(ascii: "?")

  /// Takes time proportional to the product of the two lengths at most, whatever the pattern.
  func matches(_ name: String) -> Bool {
    var name = name
    return name.withUTF8 { name in
      var place = 0
      var position = 0
      // Where to go on after a mismatch: the last `*`, and the first character that it has not taken yet.
      var star: (place: Int, position: Int)?
      while position < name.count {
        if place < bytes.count, bytes[place] == Self.any {
          star = (place, position)
          place += 1
        } else if place < bytes.count, bytes[place] == Self.one || bytes[place] == name[position] {
          place += 1
          position += 1
        } else if let last = star {
          star = (last.place, last.position + 1)
          place = last.place + 1
          position = last.position + 1
        } else {
          return false
        }
      }
      return bytes[place...].allSatisfy { $0 == Self.any }
    }
  }
}

/// LeakSanitizer's templates: found anywhere in a name unless `^` begins or `$` ends them; `*` stands for any number of
/// characters.
struct NameTemplate: Hashable, Sendable {
  private let pieces: [[UInt8]]
  private let isAtStart: Bool
  private let isAtEnd: Bool

  init(_ text: some StringProtocol) {
    var bytes = Array(text.utf8)
    isAtStart = bytes.first == UInt8(ascii: "^")
    if isAtStart { bytes.removeFirst() }
    // LeakSanitizer ignores what stands behind a `$`.
    let end = bytes.firstIndex(of: UInt8(ascii: "$"))
    isAtEnd = end != nil
    pieces = bytes[..<(end ?? bytes.count)].split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
      .map(Array.init)
  }

  /// No pattern matches an empty name.
  func matches(_ name: String) -> Bool {
    if name.isEmpty { return false }
    var name = name
    return name.withUTF8 { name in
      var position = 0
      for (index, piece) in pieces.enumerated() {
        let isFirst = index == 0
        if index == pieces.count - 1, isAtEnd {
          let start = name.count - piece.count
          guard start >= position, name[start...].elementsEqual(piece) else { return false }
          return !isFirst || !isAtStart || start == 0
        }
        guard let found = Self.find(piece, in: name, from: position), !isFirst || !isAtStart || found == 0 else {
          return false
        }
        position = found + piece.count
      }
      return true
    }
  }

  private static func find(_ piece: [UInt8], in name: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    guard name.count - start >= piece.count else { return nil }
    for position in start...name.count - piece.count
    where name[position..<position + piece.count].elementsEqual(piece) {
      return position
    }
    return nil
  }
}
