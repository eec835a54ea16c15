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

@Suite struct ReportComparisonTests {
  private func verdicts(
    _ before: Report, _ after: Report, _ change: (inout ReportComparison) -> Void = { _ in }
  ) -> (verdicts: [String: Comparison.Verdict], passed: Bool, measure: Comparison.Measure) {
    var comparison = ReportComparison()
    change(&comparison)
    let result = comparison.compare(before, after)
    return (
      Dictionary(uniqueKeysWithValues: result.sites.map { ($0.frames[0].function!, $0.verdict) }), result.hasPassed,
      result.measure
    )
  }

  @Test func everyVerdict() {
    let before = report(
      checked: true,
      [(["fixed"], 100_000, 1000), (["same"], 100_000, 1000), (["less"], 100_000, 1000), (["more"], 100_000, 1000)])
    let after = report(
      checked: true, [(["same"], 101_000, 1010), (["less"], 10_000, 100), (["more"], 300_000, 3000), (["new"], 500, 5)])
    let result = verdicts(before, after)
    #expect(
      result.verdicts == ["fixed": .fixed, "same": .unchanged, "less": .improved, "more": .worse, "new": .new])
    #expect(!result.passed)
    #expect(result.measure == .lost)
  }

  @Test func aFixPasses() {
    let result = verdicts(report(checked: true, [(["fixed"], 100, 10)]), report(checked: true, []))
    #expect(result.verdicts == ["fixed": .fixed])
    #expect(result.passed)
  }

  /// Half the time, half the leak: nothing has changed.
  @Test func byTime() {
    let result = verdicts(
      report(seconds: 100, checked: true, [(["a"], 100_000, 1000)]),
      report(seconds: 50, checked: true, [(["a"], 50_000, 500)]))
    #expect(result.verdicts == ["a": .unchanged])
    #expect(!result.passed)
  }

  @Test func byWork() {
    let (before, after) = (
      report(checked: true, [(["a"], 100_000, 1000)]), report(checked: true, [(["a"], 100_000, 1000)])
    )
    #expect(verdicts(before, after) { $0.work = (1000, 10_000) }.verdicts == ["a": .improved])
    #expect(verdicts(before, after) { $0.work = (1000, 100) }.verdicts == ["a": .worse])
  }

  @Test func threshold() {
    let (before, after) = (report(checked: true, [(["a"], 1000, 10)]), report(checked: true, [(["a"], 1000, 10)]))
    #expect(!verdicts(before, after) { $0.threshold = 9 }.passed)
    #expect(verdicts(before, after) { $0.threshold = 10 }.passed)
  }

  /// Few blocks: the difference may be chance.
  @Test func fewBlocks() {
    let result = verdicts(report(checked: true, [(["a"], 500, 5)]), report(checked: true, [(["a"], 700, 7)]))
    #expect(result.verdicts == ["a": .unchanged])
  }

  /// Memory that is held is no leak for that: it fails only when it grows.
  @Test func withoutChecks() {
    let same = report([(["a"], 100_000, 1000)])
    #expect(verdicts(same, same).passed)
    #expect(verdicts(same, same).measure == .outstanding)
    #expect(!verdicts(same, report([(["a"], 300_000, 3000)])).passed)
  }

  @Test func anotherBuild() {
    let before = report(checked: true, [(["a", "main"], 100_000, 1000)])
    var after = report(checked: true, [(["x"], 1, 1), (["a", "main"], 100_000, 1000)])
    after.sites.removeFirst()
    for index in after.sites[0].frames.indices {
      after.sites[0].frames[index].address += 0x5000
      after.sites[0].frames[index].functionOffset = 77
      after.sites[0].frames[index].line = 12
      after.sites[0].frames[index].module = "/usr/local/app/server"
    }
    #expect(verdicts(before, after).verdicts == ["a": .unchanged])
  }

  @Test func growth() {
    func growing(_ slope: Double, _ word: GrowthEvidence.Word) -> Report {
      var report = report([(["a"], 100_000, 1000)])
      report.sites[0].growth = GrowthEvidence(
        word: word, slopeInBytesPerSecond: slope, lowerSlope: slope * 0.9, upperSlope: slope * 1.1, confidence: 0.95,
        windows: 20, generationsAlive: 18, survival: 0.9)
      return report
    }
    let fixed = verdicts(growing(1000, .growing), growing(0, .plateau))
    #expect(fixed.measure == .growth)
    #expect(fixed.verdicts == ["a": .fixed])
    #expect(fixed.passed)
    #expect(!verdicts(growing(1000, .growing), growing(1010, .growing)).passed)
  }
}
