import Testing

@testable import ReportFormats

@Suite struct TextTableTests {
  /// A function's namespaces tell least of it, the end of a sentence tells least of that.
  @Test func namesLoseTheirBeginningAndWordsTheirEnd() {
    var table = TextTable()
    table.add(.flexible, "WHERE", [TextTable.Cell(text: "shop::detail::Session::open", tail: " a.cpp:7")])
    table.add(.left(most: 16), "KIND", ["held by `every_session_ever`"])
    #expect(table.lines(width: 40) == ["WHERE                   KIND", "…Session::open a.cpp:7  held by `every_…"])
  }
}
