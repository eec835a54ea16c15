/// How verdicts are spelled: the one table of their words. JSON reports have the raw values.
extension VerdictKind {
  private struct Spelling {
    /// In a sentence.
    var words: String
    /// Behind other verdicts in a line that has little room.
    var brief: String
    /// In memcheck's `--show-leak-kinds`, in its suppressions, and in our options.
    var option: String
    /// In the `<kind>` of memcheck's XML, which has no word for a block that was not checked.
    var memcheck: String
  }

  private var spelling: Spelling {
    switch self {
    case .definitelyLost:
      Spelling(words: "definitely lost", brief: "definitely", option: "definite", memcheck: "Leak_DefinitelyLost")
    case .indirectlyLost:
      Spelling(words: "indirectly lost", brief: "indirectly", option: "indirect", memcheck: "Leak_IndirectlyLost")
    case .possiblyLost:
      Spelling(words: "possibly lost", brief: "possibly", option: "possible", memcheck: "Leak_PossiblyLost")
    case .stillReachable:
      Spelling(words: "still reachable", brief: "reachable", option: "reachable", memcheck: "Leak_StillReachable")
    case .unchecked:
      Spelling(words: "unchecked", brief: "unchecked", option: "unchecked", memcheck: "Leak_StillReachable")
    }
  }

  package var words: String { spelling.words }
  package var briefWords: String { spelling.brief }
  package var optionName: String { spelling.option }
  package var memcheckName: String { spelling.memcheck }

  package init?(optionName: some StringProtocol) {
    guard let kind = Self.allCases.first(where: { $0.optionName == optionName }) else { return nil }
    self = kind
  }

  /// A name in a list that is none of a verdict's.
  package struct UnknownName: Error, Hashable {
    package var name: String
  }

  /// The verdicts in a list such as `definite,possible`, or `all`, or `none`, as memcheck takes them. Blanks around the names
  /// are allowed.
  package static func parse(list text: some StringProtocol) throws(UnknownName) -> Set<VerdictKind> {
    if text == "all" { return Set(checked) }
    if text == "none" { return [] }
    var kinds: Set<VerdictKind> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let name = part.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" && $0 != "\r" }
      let rest = part[name.endIndex...]
      guard rest.allSatisfy({ $0 == " " || $0 == "\t" || $0 == "\r" }), let kind = VerdictKind(optionName: name),
        kind != .unchecked
      else { throw UnknownName(name: String(part)) }
      kinds.insert(kind)
    }
    return kinds
  }

  /// What a list takes, for messages and help.
  package static let listNames = checked.map(\.optionName) + ["all", "none"]
}
