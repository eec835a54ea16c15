import Glibc

/// Texts of symbol tables and debug information, which may have any length.
enum SymbolText {
  /// Longer texts are cut, in bytes. Templates make names of some thousand.
  static let maximumLength = 8192

  /// A NUL-terminated text as a string. Invalid UTF-8 is repaired, and the end of what is too long is an ellipsis.
  static func string(_ text: UnsafePointer<CChar>) -> String {
    let length = strnlen(text, maximumLength + 1)
    let bytes = UnsafeRawBufferPointer(start: text, count: min(length, maximumLength))
    let string = String(decoding: bytes, as: UTF8.self)
    return length > maximumLength ? string + "…" : string
  }
}
