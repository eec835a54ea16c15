/// Whether a terminal or a viewer could take the character for a command or for something it is not: control
/// characters, line and paragraph separators, and marks that turn the direction of text or are not seen.
package func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0...0x1f, 0x7f...0x9f, 0xad, 0x061c, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f,
    0xfeff,
    0xfff9...0xfffb, 0xe0000...0xe007f:
    true
  default: false
  }
}

/// A name for a terminal: unsafe characters appear as `\x1b` or `\u{202e}`.
package func escapedForTerminal(_ text: String) -> String {
  if text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) { return text }
  var escaped = ""
  for scalar in text.unicodeScalars {
    if !isUnsafe(scalar) {
      escaped.unicodeScalars.append(scalar)
    } else if scalar.value < 0x100 {
      let digits = String(scalar.value, radix: 16)
      escaped += digits.count == 1 ? "\\x0" + digits : "\\x" + digits
    } else {
      escaped += "\\u{" + String(scalar.value, radix: 16) + "}"
    }
  }
  return escaped
}

/// `0x` and lower-case hexadecimal digits.
package func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
