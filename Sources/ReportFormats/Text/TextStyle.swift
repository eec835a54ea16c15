/// Colours for a terminal. They are put around text that has been escaped already, and only where colours are wanted.
package struct TextStyle: Sendable {
  package enum Kind: String, Sendable {
    case alarm = "1;31"
    case good = "1;32"
    case doubt = "1;33"
    case strong = "1"
    case faint = "2"
  }
  package var isColored: Bool

  package init(isColored: Bool) { self.isColored = isColored }

  package func styled(_ text: String, _ kind: Kind) -> String {
    isColored ? "\u{1b}[\(kind.rawValue)m\(text)\u{1b}[0m" : text
  }

  /// Characters that are seen: escape sequences of colours take no place.
  package static func width(of text: String) -> Int {
    var count = 0
    var isEscape = false
    for character in text {
      if character == "\u{1b}" {
        isEscape = true
      } else if isEscape {
        isEscape = character != "m"
      } else {
        count += 1
      }
    }
    return count
  }
}
