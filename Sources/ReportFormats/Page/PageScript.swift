import TraceModel

/// The script of a report's page. Names are only ever set as text, never as markup.
enum PageScript {
  static let source = base + summary + course + stacks + flame + graph + main

  /// The words of verdicts, as members of an object.
  static let kindWords = VerdictKind.allCases.map { "\($0.rawValue): \"\($0.words)\"" }.joined(separator: ", ")
}
