import Testing
import TraceModel

@testable import ReportAnalysis

/// Reports made up for these tests: sites by their function names, leaf first.
func report(
  seconds: Int64 = 100, checked: Bool = false, _ sites: [(names: [String], bytes: UInt64, count: UInt64)]
) -> Report {
  var report = Report(
    target: Report.Target(kind: .process, processID: 1, command: "server"),
    window: Report.Window(startInUnixSeconds: 1_700_000_000, duration: .seconds(seconds)))
  for (index, site) in sites.enumerated() {
    let frames = site.names.enumerated().map {
      Frame(
        address: UInt64(index * 1000 + $0.offset), function: $0.element, module: "/opt/app/server",
        moduleOffset: UInt64($0.offset))
    }
    let tally = Tally(bytes: site.bytes, count: site.count)
    report.sites.append(
      AllocationSite(
        processID: 1, allocationClass: .heap, allocator: "malloc", outstanding: tally, allocated: tally,
        freed: Tally(), stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames,
        verdicts: checked ? [.definitelyLost: tally] : [.unchecked: tally]))
    report.totals.outstanding += tally
  }
  if checked {
    report.leakChecks = [LeakCheckSummary(processID: 1, kinds: [.definitelyLost: report.totals.outstanding])]
  }
  return report
}

@Suite struct ReportFilterTests {
  let whole = report([
    (["leaf", "cache", "main"], 100, 1), (["leaf", "parse", "main"], 50, 5), (["other", "main"], 7, 1),
  ])

  private func filtered(_ change: (inout ReportFilter) throws -> Void) rethrows -> [[String]] {
    var filter = ReportFilter()
    try change(&filter)
    return filter.apply(to: whole).sites.map { $0.frames.map { $0.function! } }
  }

  @Test func focus() throws {
    #expect(try filtered { $0.focus = try NamePattern("^pa") } == [["leaf", "parse", "main"]])
    #expect(try filtered { $0.focus = try NamePattern("server") }.count == 3)
  }

  @Test func ignore() throws {
    #expect(try filtered { $0.ignore = try NamePattern("cache|other") } == [["leaf", "parse", "main"]])
  }

  @Test func hideMergesWhatBecomesEqual() throws {
    var filter = ReportFilter()
    filter.hide = try NamePattern("^(cache|parse)$")
    let sites = filter.apply(to: whole).sites
    #expect(sites.map { $0.frames.map(\.function) } == [["leaf", "main"], ["other", "main"]])
    #expect(sites[0].outstanding == Tally(bytes: 150, count: 6))
  }

  @Test func showFrom() throws {
    #expect(
      try filtered { $0.showFrom = try NamePattern("^(cache|parse)$") } == [["leaf", "cache"], ["leaf", "parse"]])
  }

  @Test func noExpression() { #expect(throws: (any Error).self) { try NamePattern("(") } }

  @Test func kinds() {
    var report = report(checked: true, [(["a"], 10, 1), (["b"], 20, 2)])
    report.sites[1].verdicts = [
      .stillReachable: Tally(bytes: 12, count: 1), .definitelyLost: Tally(bytes: 8, count: 1),
    ]
    var filter = ReportFilter()
    filter.kinds = [.definitelyLost]
    let result = filter.apply(to: report)
    #expect(result.sites.map(\.outstanding) == [Tally(bytes: 10, count: 1), Tally(bytes: 8, count: 1)])
    #expect(result.totals.outstanding == Tally(bytes: 18, count: 2))
    // Every sum is of the part, and the report says of what it is one.
    #expect(result.leakChecks.map(\.kinds) == [[.definitelyLost: Tally(bytes: 18, count: 2)]])
    #expect(result.filter == Report.Filter(words: "--kind definite", whole: Tally(bytes: 30, count: 3)))
    #expect(ReportFilter().apply(to: report).filter == nil)
  }
}

@Suite struct ReportMergeTests {
  @Test func addsUpSitesOfTheSameNames() throws {
    let first = report([(["a", "main"], 10, 1), (["b", "main"], 5, 1)])
    var second = report(seconds: 50, [(["b", "main"], 7, 2)])
    second.loss = [Report.LossCounter(name: "events_lost", description: "events", value: 3)]
    let merged = try #require(ReportMerge.merge([first, second]))
    #expect(merged.sites.map(\.outstanding) == [Tally(bytes: 12, count: 3), Tally(bytes: 10, count: 1)])
    #expect(merged.totals.outstanding == Tally(bytes: 22, count: 4))
    #expect(merged.loss.map(\.value) == [3])
    #expect(merged.window.duration == .seconds(100))
  }

  @Test func grouping() {
    let whole = report([(["leaf", "a", "main"], 10, 1), (["leaf", "b", "main"], 5, 1), (["other"], 3, 1)])
    #expect(ReportGrouping(.function).apply(to: whole).sites.map(\.outstanding.bytes) == [15, 3])
    #expect(ReportGrouping(.module).apply(to: whole).sites.map { $0.frames.map(\.function) } == [["server"]])
    #expect(ReportGrouping(.process).apply(to: whole).sites.map(\.outstanding.count) == [3])
  }
}
