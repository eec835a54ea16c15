import Testing

@testable import ReportFormats

@Suite struct TextTests {
  @Test func calendar() {
    let cases: [(Double, String?)] = [
      (0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
      (1_700_000_000.25, "2023-11-14T22:13:20.250Z"), (-1, "1969-12-31T23:59:59.000Z"),
      (4_107_542_399, "2100-02-28T23:59:59.000Z"), (.nan, nil), (.infinity, nil), (1e18, nil),
    ]
    for (seconds, text) in cases { #expect(timestamp(seconds) == text) }
  }

  @Test func formatsAreFoundByName() {
    #expect(ReportFormats.named("text") != nil)
    #expect(ReportFormats.named("json") != nil)
    #expect(ReportFormats.named("none") == nil)
    #expect(Set(ReportFormats.all.map(\.name)).count == ReportFormats.all.count)
  }
}
