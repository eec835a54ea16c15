import Quantities

/// What could not be named, or not as well as it might, and why: counted by module, for the notes of reports.
final class NamingLosses {
  enum Kind: UInt8, CaseIterable {
    /// The debug information would take too much memory unpacked.
    case tooLarge = 1
    /// A limit of entries, ranges, lines or symbols was reached, or the lines of a unit cannot be read.
    case partial = 2
    /// Reading the debug information failed, so that only symbols are used.
    case noLines = 3
    /// Reading symbols failed, too.
    case noNames = 4

    fileprivate var text: String {
      switch self {
      case .tooLarge: "no lines and inlined calls, because the debug information is too large"
      case .partial: "only a part of the names and lines, because there are too many, or they cannot be read"
      case .noLines: "no lines and inlined calls, because reading them failed"
      case .noNames: "no names, because reading them failed"
      }
    }
  }

  /// The reason by module; no more modules than are worth telling of.
  private var modules: [Kind: [String: String]] = [:]
  private static let maximumCount = 1000
  /// Addresses that were not looked up because leaktrace was told to end.
  var interrupted = 0

  func note(_ kind: Kind, of module: String, why: String = "") {
    if modules[kind, default: [:]].count < Self.maximumCount { modules[kind, default: [:]][module] = why }
  }

  /// How many modules suffered a loss.
  func count(of kind: Kind) -> Int { modules[kind]?.count ?? 0 }

  /// One sentence for each kind of loss.
  var notes: [String] {
    var notes: [String] = []
    for kind in Kind.allCases {
      guard let modules = modules[kind], !modules.isEmpty else { continue }
      let names = modules.sorted { $0.key < $1.key }.prefix(3).map {
        $0.value.isEmpty ? $0.key : "\($0.key) (\($0.value))"
      }
      let more = modules.count > 3 ? " and \(groupedNumber(modules.count - 3)) more" : ""
      notes.append("\(names.joined(separator: ", "))\(more): \(kind.text)")
    }
    if interrupted > 0 {
      notes.append(
        "\(counted(interrupted, "address", "addresses")) without names, because leaktrace was told to end meanwhile")
    }
    return notes
  }
}
