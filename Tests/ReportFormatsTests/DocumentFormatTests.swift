import ReportFormats
import Testing

struct DocumentFormatTests {
  private struct Format: DocumentFormat {
    var name: String
    var suffixes: [String]
  }

  private let formats = [
    Format(name: "text", suffixes: ["txt"]), Format(name: "json", suffixes: ["json", "js"]),
    Format(name: "pprof", suffixes: ["pb.gz", "gz"]), Format(name: "xml", suffixes: ["x.pb.gz"]),
  ]

  @Test func namesAreListed() {
    #expect(formats.names == "text, json, pprof, xml")
    #expect(formats.alternatives == "text, json, pprof or xml")
    #expect(Array(formats.prefix(2)).alternatives == "text or json")
    #expect(Array(formats.prefix(1)).alternatives == "text")
    #expect([Format]().alternatives == "")
  }

  @Test func theFirstIsTheUsualOne() throws {
    #expect(try formats.chosen(nil).name == "text")
    #expect(try formats.chosen("json").name == "json")
  }

  @Test func anUnknownNameIsToldWithThoseThereAre() {
    let error = #expect(throws: UnknownFormat.self) { try formats.chosen("yaml") }
    #expect(error?.description == "--format yaml: there is text, json, pprof, xml")
  }

  @Test(arguments: [
    ("a.txt", "text"), ("a.js", "json"), ("a.gz", "pprof"), ("a.pb.gz", "pprof"), ("a.x.pb.gz", "xml"), ("txt", nil),
    ("a.yaml", nil), ("", nil),
  ])
  func theLongestSuffixDecides(path: String, name: String?) {
    #expect(formats.forFile(path)?.name == name)
  }

  @Test func everyReportAndComparisonFormatHasItsOwnNameAndSuffixes() {
    func check(_ formats: [some DocumentFormat]) {
      #expect(Set(formats.map(\.name)).count == formats.count)
      let suffixes = formats.flatMap(\.suffixes)
      #expect(Set(suffixes).count == suffixes.count)
      #expect(formats[0].name == "text")
    }
    check(ReportFormats.all)
    check(ComparisonFormat.all)
  }
}
