/// A way to write a document of some kind. Each kind has one list of its formats, from which help texts, messages and the
/// choice of a format come.
package protocol DocumentFormat: Sendable {
  /// As given to `--format`.
  var name: String { get }
  /// Ends of file names that mean this format, without the dot; the longest that fits decides.
  var suffixes: [String] { get }
}

/// The formats of a kind of document; the first is the usual one.
extension Array where Element: DocumentFormat {
  package func named(_ name: String) -> Element? { first { $0.name == name } }

  /// The format that a file's name asks for, or nil.
  package func forFile(_ path: String) -> Element? {
    let candidates = flatMap { format in format.suffixes.map { (format, $0) } }
    return candidates.filter { path.hasSuffix("." + $0.1) }.max { $0.1.utf8.count < $1.1.utf8.count }?.0
  }

  /// Their names for messages: `text, json, csv`.
  package var names: String { map(\.name).joined(separator: ", ") }

  /// Their names for help texts: `text, json or csv`.
  package var alternatives: String {
    let names = map(\.name)
    return names.count < 2 ? names.joined() : names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
  }

  /// The format with a name, or the usual one where none was given.
  package func chosen(_ name: String?) throws(UnknownFormat) -> Element {
    guard let name else { return self[0] }
    guard let format = named(name) else {
      throw UnknownFormat(description: "--format \(name): there is \(names)")
    }
    return format
  }
}

/// A format that a kind of document does not have.
package struct UnknownFormat: Error, Hashable, Sendable, CustomStringConvertible {
  package var description: String
}
