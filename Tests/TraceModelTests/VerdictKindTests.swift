import Testing

@testable import TraceModel

@Suite struct VerdictKindTests {
  /// Sums are kept in arrays by place.
  @Test func placesAreThoseOfAllCases() { #expect(VerdictKind.allCases.map(\.place) == [0, 1, 2, 3, 4]) }

  @Test func checksGiveEveryKindButOne() {
    #expect(VerdictKind.checked == VerdictKind.allCases.filter { $0 != .unchecked })
  }

  /// What schemas, recordings and other tools rely on.
  @Test func spellings() {
    #expect(
      VerdictKind.allCases.map(\.rawValue) == [
        "definitely_lost", "indirectly_lost", "possibly_lost", "still_reachable", "unchecked",
      ])
    #expect(
      VerdictKind.allCases.map(\.words) == [
        "definitely lost", "indirectly lost", "possibly lost", "still reachable", "unchecked",
      ])
    #expect(
      VerdictKind.checked.map(\.memcheckName) == [
        "Leak_DefinitelyLost", "Leak_IndirectlyLost", "Leak_PossiblyLost", "Leak_StillReachable",
      ])
    #expect(VerdictKind.listNames == ["definite", "indirect", "possible", "reachable", "all", "none"])
  }

  @Test func namesOfOptionsAreReadBack() {
    for kind in VerdictKind.allCases { #expect(VerdictKind(optionName: kind.optionName) == kind) }
    #expect(VerdictKind(optionName: "definitely") == nil)
  }

  @Test func lists() throws {
    #expect(try VerdictKind.parse(list: "definite,possible") == [.definitelyLost, .possiblyLost])
    #expect(try VerdictKind.parse(list: " definite,\treachable\r") == [.definitelyLost, .stillReachable])
    #expect(try VerdictKind.parse(list: "all") == Set(VerdictKind.checked))
    #expect(try VerdictKind.parse(list: "none").isEmpty)
  }

  @Test(arguments: [
    ("", ""), ("definite,", ""), ("definitely", "definitely"), ("definite possible", "definite possible"),
    ("all,none", "all"), ("unchecked", "unchecked"),
  ])
  func unknownNames(list: String, name: String) {
    #expect(throws: VerdictKind.UnknownName(name: name)) { try VerdictKind.parse(list: list) }
  }
}
