// Names come from processes, files and control groups that anybody may own. Whatever is written of them passes through one
// of these functions, one for each place where text has a meaning. All of them look at Unicode scalars, never at
// characters: a combining mark behind a quote makes one character of the two, but the quote stays a quote for whoever
// reads the text.

/// Whether a terminal or a viewer could take the scalar for a command or for something it is not, or may refuse it: control
/// characters, line and paragraph separators, marks that turn the direction of text or are not seen, and what Unicode sets
/// aside as no character.
package func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
  if scalar.value < 0x7f { return scalar.value < 0x20 }
  if scalar.value < 0xa0 { return true }
  if scalar.value & 0xfffe == 0xfffe || (0xfdd0...0xfdef).contains(scalar.value) { return true }
  switch scalar.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: return true
  default: return scalar.properties.isDefaultIgnorableCodePoint
  }
}

private func isPrintableASCII(_ text: String) -> Bool { text.utf8.allSatisfy { (0x20...0x7e).contains($0) } }

/// A name for a terminal or a log, on one line: unsafe scalars appear as `\x1b` or `\u{202e}`.
package func escapedForTerminal(_ text: String) -> String {
  if isPrintableASCII(text) { return text }
  var escaped = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    if !isUnsafe(scalar) {
      escaped.append(scalar)
    } else if scalar.value < 0x100 {
      let digits = String(scalar.value, radix: 16)
      escaped.append(contentsOf: (digits.count == 1 ? "\\x0" + digits : "\\x" + digits).unicodeScalars)
    } else {
      escaped.append(contentsOf: ("\\u{" + String(scalar.value, radix: 16) + "}").unicodeScalars)
    }
  }
  return String(escaped)
}

/// A name on one line, in which scalars that mean something in the format give way to others.
package func singleLine(_ name: String, replacing special: [Unicode.Scalar: Unicode.Scalar] = [:]) -> String {
  let escaped = escapedForTerminal(name)
  guard !special.isEmpty, escaped.unicodeScalars.contains(where: { special[$0] != nil }) else { return escaped }
  var result = String.UnicodeScalarView()
  for scalar in escaped.unicodeScalars { result.append(special[scalar] ?? scalar) }
  return String(result)
}

/// A name in XML or HTML, in attributes too.
package func escapedForMarkup(_ text: String) -> String {
  let text = escapedForTerminal(text)
  guard text.utf8.contains(where: { "<>&\"'".utf8.contains($0) }) else { return text }
  var escaped = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    switch scalar {
    case "<": escaped.append(contentsOf: "&lt;".unicodeScalars)
    case ">": escaped.append(contentsOf: "&gt;".unicodeScalars)
    case "&": escaped.append(contentsOf: "&amp;".unicodeScalars)
    case "\"": escaped.append(contentsOf: "&quot;".unicodeScalars)
    case "'": escaped.append(contentsOf: "&#39;".unicodeScalars)
    default: escaped.append(scalar)
    }
  }
  return String(escaped)
}

/// A cell of comma-separated values (RFC 4180) that no spreadsheet takes for a formula.
///
/// - Parameter quoted: whether to quote it in any case.
package func csvCell(_ text: String, quoted: Bool = false) -> String {
  var text = escapedForTerminal(text)
  // Full-width forms of the four signs count as well.
  if let first = text.unicodeScalars.first(where: { $0 != " " }), "=+-@＝＋－＠|%".unicodeScalars.contains(first) {
    text = "'" + text
  }
  // Where the list separator is a semicolon, a cell must not come apart there.
  guard quoted || text.utf8.contains(where: { ",;\"".utf8.contains($0) }) || text.utf8.first == 0x20 else {
    return text
  }
  var cell = String.UnicodeScalarView()
  cell.append("\"")
  for scalar in text.unicodeScalars {
    if scalar == "\"" { cell.append("\"") }
    cell.append(scalar)
  }
  cell.append("\"")
  return String(cell)
}

/// A frame of a folded stack: it holds no separator of frames, is no remark, and nothing at its end can be taken for the
/// stack's number.
package func foldedFrame(_ name: String) -> String {
  var scalars: [Unicode.Scalar] = escapedForTerminal(name).unicodeScalars.map { scalar in
    scalar == ";" ? "," : scalar.value > 0x20 && scalar.properties.isWhitespace ? " " : scalar
  }
  if scalars.isEmpty || scalars.first == "#" || scalars.first == " " {
    scalars.insert("_", at: 0)
  }
  if scalars.last == " " { scalars.append("_") }
  if let space = scalars.lastIndex(of: " "),
    scalars[(space + 1)...].allSatisfy({ ("0"..."9").contains($0) || $0 == "." || $0.properties.numericType != nil })
  {
    scalars[space] = "_"
  }
  var result = String.UnicodeScalarView()
  result.append(contentsOf: scalars)
  return String(result)
}

/// The value of a label in Prometheus's formats, without its quotes; long ones are cut. These formats know no other escapes
/// than three, so that a question mark has to stand for what is unsafe.
package func escapedForLabel(_ text: String, most: Int = 200) -> String {
  var escaped = String.UnicodeScalarView()
  for scalar in text.unicodeScalars.prefix(most) {
    switch scalar {
    case "\n": escaped.append(contentsOf: "\\n".unicodeScalars)
    case "\\", "\"":
      escaped.append("\\")
      escaped.append(scalar)
    default: escaped.append(isUnsafe(scalar) ? "?" : scalar)
    }
  }
  return String(escaped)
}

/// A word of a shell command, for sh and bash, that can be pasted into a terminal; quoted only where it has to be. What a
/// terminal would take for a key is written as digits, for printf(1) to turn back.
package func shellQuoted(_ word: String) -> String {
  let isPlain =
    !word.isEmpty
    && word.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x2f, 0x3a, 0x40, 0x5f].contains(byte)
    }
  if isPlain { return word }
  guard word.unicodeScalars.contains(where: isUnsafe) else {
    var quoted: [UInt8] = [UInt8(ascii: "'")]
    for byte in word.utf8 {
      if byte == UInt8(ascii: "'") { quoted += Array("'\\''".utf8) } else { quoted.append(byte) }
    }
    return String(decoding: quoted + [UInt8(ascii: "'")], as: UTF8.self)
  }
  // The shell drops newlines at the end of what a command prints: the word's own ones follow in quotes.
  var ending = ""
  var scalars = word.unicodeScalars[...]
  while scalars.last == "\n" {
    scalars.removeLast()
    ending += "'\n'"
  }
  var digits = ""
  for scalar in scalars {
    // A hyphen at the beginning would begin an option of printf.
    let isKept =
      scalar.isASCII && !isUnsafe(scalar) && !"%\\'\"!`$".unicodeScalars.contains(scalar)
      && !(digits.isEmpty && scalar == "-")
    if isKept {
      digits.unicodeScalars.append(scalar)
      continue
    }
    for byte in String(scalar).utf8 {
      let octal = String(byte, radix: 8)
      digits += "\\" + String(repeating: "0", count: 3 - octal.count) + octal
    }
  }
  return (digits.isEmpty ? "" : "\"$(printf '\(digits)')\"") + ending
}

/// `0x` and lower-case hexadecimal digits.
package func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
