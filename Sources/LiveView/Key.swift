/// A key press, as terminals send it.
package enum Key: Hashable, Sendable {
  case character(Character)
  case up, down, pageUp, pageDown, home, end, enter, escape, backspace

  /// The keys in what was read from a terminal. A sequence that is not known is left out.
  package static func parse(_ bytes: [UInt8]) -> [Key] {
    var keys: [Key] = []
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      switch byte {
      case 0x1b where rest.first == UInt8(ascii: "[") || rest.first == UInt8(ascii: "O"):
        rest.removeFirst()
        var sequence: [UInt8] = []
        while let next = rest.popFirst() {
          sequence.append(next)
          if (0x40...0x7e).contains(next) { break }
        }
        if let key = named[String(decoding: sequence, as: UTF8.self)] { keys.append(key) }
      case 0x1b: keys.append(.escape)
      case 0x0d, 0x0a: keys.append(.enter)
      case 0x7f, 0x08: keys.append(.backspace)
      case 0x20...0x7e: keys.append(.character(Character(Unicode.Scalar(byte))))
      default: break
      }
    }
    return keys
  }

  private static let named: [String: Key] = [
    "A": .up, "B": .down, "5~": .pageUp, "6~": .pageDown, "H": .home, "1~": .home, "F": .end, "4~": .end,
  ]
}
