import ReportAnalysis
import Testing
import TraceModel

@Suite struct ReportLimitTests {
  private let whole = report([
    (["a", "main"], 100, 1), (["b", "main"], 50, 5), (["c", "main"], 20, 2), (["d", "main"], 7, 1),
  ])

  private func names(_ report: Report) -> [String?] { report.sites.map { $0.frames[0].function } }

  @Test func theFirstSitesStay() {
    #expect(names(whole.limited(to: 2)) == ["a", "b"])
    #expect(names(whole.limited(to: 0)) == [])
    #expect(names(whole.limited(to: 100)) == ["a", "b", "c", "d"])
    #expect(names(whole.limited(to: nil)) == ["a", "b", "c", "d"])
  }

  @Test func sumsAreOfAllSites() {
    var report = whole
    report.leftOutSites = 3
    let limited = report.limited(to: 1)
    #expect(limited.totals.outstanding == whole.totals.outstanding)
    #expect(limited.leftOutSites == 3)
  }

  @Test func exemptSitesStayAndDoNotCount() {
    let limited = whole.limited(to: 1) { ["a", "d"].contains($0.frames[0].function) }
    #expect(names(limited) == ["a", "b", "d"])
  }

  @Test func aLimitOfALimitIsTheSmaller() {
    #expect(names(whole.limited(to: 3).limited(to: 2)) == names(whole.limited(to: 2)))
  }

  @Test func whatIsEnoughForAllIsTheLargest() {
    #expect(ReportLimit.largest(of: [10, 1000, 3]) == 1000)
    #expect(ReportLimit.largest(of: [10, nil]) == nil)
    #expect(ReportLimit.largest(of: []) == nil)
  }
}
