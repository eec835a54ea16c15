import ReportAnalysis
import Testing
import TraceModel

/// What a report finds, in which order, and what its first line answers.
@Suite struct FindingsTests {
  private func site(
    _ functions: [String], bytes: UInt64, count: UInt64 = 10, process: Int32 = 1,
    lost: UInt64? = nil, possibly: UInt64? = nil, _ word: GrowthEvidence.Word? = nil, slope: Double = 0,
    margin: Double = 0
  ) -> AllocationSite {
    var site = AllocationSite(
      processID: process, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: bytes, count: count),
      allocated: Tally(bytes: bytes, count: count), freed: Tally(),
      stack: StackTrace(addresses: functions.indices.map { UInt64($0) }, completeness: .complete),
      frames: functions.enumerated().map {
        Frame(address: UInt64($0), function: $1, module: "/bin/svc", file: "svc.cpp", line: 10)
      })
    if let lost {
      site.verdicts = [
        .definitelyLost: Tally(bytes: lost, count: lost == 0 ? 0 : 1),
        .stillReachable: Tally(bytes: bytes - lost, count: count - 1),
      ]
    }
    if let possibly { site.verdicts = [.possiblyLost: Tally(bytes: possibly, count: 1)] }
    if let word {
      site.growth = GrowthEvidence(
        word: word, slopeInBytesPerSecond: slope, lowerSlope: slope - margin, upperSlope: slope + margin,
        confidence: 0.95,
        windows: 40, generationsAlive: 40, survival: 1)
    }
    return site
  }

  private func report(_ sites: [AllocationSite], isChecked: Bool = false, loss: [String: UInt64] = [:]) -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 30070, command: "/usr/sbin/svc --fast"),
      window: Report.Window(startInUnixSeconds: 0, duration: .seconds(15)), sites: sites)
    report.totals.outstanding = sites.reduce(into: Tally()) { $0 += $1.outstanding }
    report.totals.allocated = report.totals.outstanding
    report.loss = loss.map { Report.LossCounter(name: $0.key, description: "", value: $0.value) }
    if isChecked { report.leakChecks = Set(sites.map(\.processID)).map { LeakCheckSummary(processID: $0) } }
    return report
  }

  private func headline(_ report: Report) -> Headline { Headline(report, Findings(report)) }

  @Test func stacksWithTheSameOwnFrameAreOneFinding() throws {
    let report = report([
      site(["malloc", "std::vector<int>::grow(int)", "parse", "a"], bytes: 300, .growing, slope: 30, margin: 3),
      site(["malloc", "parse", "b"], bytes: 500, .growing, slope: 40, margin: 4),
      site(["malloc", "remember", "b"], bytes: 900, .plateau),
    ])
    let findings = Findings(report)
    #expect(findings.list.map(\.frame.function) == ["parse", "remember"])
    let parse = findings.list[0]
    #expect(parse.sites == [1, 0] && parse.held == Tally(bytes: 800, count: 20))
    // Slopes add up, and independent errors by their squares.
    let rate = try #require(parse.rate)
    #expect(rate.bytesPerSecond == 70 && rate.lower == 65 && rate.upper == 75)
    #expect(parse.kind == .growing && findings.list[1].kind == .plateau)
    #expect(parse.shareOfGrowth == 1 && findings.list[1].shareOfGrowth == nil)
  }

  @Test func whatGrowsComesFirstAndWhatIsBoundedLast() {
    let report = report(
      [
        site(["ring"], bytes: 9_000_000, lost: 0, .plateau), site(["once"], bytes: 8_000_000, lost: 0, .startup),
        site(["lostOnce"], bytes: 700, lost: 700, .plateau), site(["lostMore"], bytes: 800, lost: 800, .unclear),
        site(["slow"], bytes: 400, lost: 400, .growing, slope: 10, margin: 1),
        site(["cache"], bytes: 600, lost: 0, .growing, slope: 90, margin: 1),
        site(["dim"], bytes: 50, lost: 0, .unclear),
      ], isChecked: true)
    let findings = Findings(report)
    #expect(
      findings.list.map { $0.frame.function ?? "" } == ["cache", "slow", "lostMore", "lostOnce", "dim", "ring", "once"])
    #expect(
      findings.list.map(\.kind) == [
        .growing, .definitelyLost, .definitelyLost, .definitelyLost, .unclear, .plateau, .startup,
      ])
    #expect(findings.list[0].shareOfGrowth == 0.9 && findings.list[1].shareOfGrowth == 0.1)
    #expect(findings.growth?.bytesPerSecond == 100)
  }

  /// Of many stacks with a block each none grows, and together they do.
  @Test func sitesThatGrowOnlyTogether() {
    var sites = (0..<50).map { site(["malloc", "descend", "caller\($0)"], bytes: 16, count: 1, .startup) }
    for index in sites.indices {
      sites[index].ownGrowth = GrowthEvidence(
        word: .growing, slopeInBytesPerSecond: 160, lowerSlope: 150, upperSlope: 170, confidence: 0.95, windows: 40,
        generationsAlive: 40, survival: 1)
    }
    let finding = Findings(report(sites)).list[0]
    #expect(finding.kind == .growing && finding.rate?.bytesPerSecond == 160)
  }

  @Test func processesOfAProgramAreOneFindingWithTheirShares() {
    let findings = Findings(
      report([
        site(["malloc", "handle"], bytes: 100, process: 7, .growing, slope: 10, margin: 1),
        site(["malloc", "handle"], bytes: 300, process: 8, .growing, slope: 30, margin: 1),
      ]))
    #expect(findings.list.count == 1)
    #expect(findings.list[0].processes.map(\.processID) == [8, 7])
    #expect(findings.list[0].processes.map(\.held.bytes) == [300, 100])
    #expect(findings.list[0].processes.map { $0.rate?.bytesPerSecond } == [30, 10])
  }

  // MARK: The first line

  @Test func answers() {
    #expect(headline(report([site(["f"], bytes: 9, lost: 9)], isChecked: true)).answer == .leaks)
    let growing = [site(["f"], bytes: 9, .growing, slope: 5, margin: 1)]
    #expect(headline(report(growing)).answer == .grows)
    // Reachable and growing is a finding with a check, too.
    #expect(
      headline(report([site(["f"], bytes: 9, lost: 0, .growing, slope: 5, margin: 1)], isChecked: true)).answer != .none
    )
    #expect(headline(report([site(["f"], bytes: 9, .plateau)])).answer == .none)
    #expect(headline(report([])).answer == .none)
    #expect(headline(report([site(["f"], bytes: 9, possibly: 9)], isChecked: true)).answer == .cannotTell)
    #expect(headline(report([site(["f"], bytes: 9)])).answer == .cannotTell)
    var short = report([site(["f"], bytes: 9, .unclear)])
    short.window.duration = .seconds(2)
    #expect(headline(short).answer == .cannotTell)
    let line = headline(report(growing))
    #expect(line.command == "svc" && line.processID == 30070 && !line.isIncomplete)
  }

  /// What rises until the end of a program and is freed there is found by no check at the exit.
  @Test func roseUntilItsEnd() {
    func answer(_ levels: [UInt64], end: UInt64) -> (Headline.Answer, String?) {
      var ended = report([], isChecked: true)
      ended.leakChecks = [LeakCheckSummary(processID: 1)]
      ended.target.exitStatus = 0
      ended.window.duration = .seconds(levels.count)
      ended.timeline = levels.enumerated().map { second, bytes in
        Report.Moment(elapsed: .seconds(second), outstanding: Tally(bytes: bytes, count: 1))
      }
      ended.timeline.append(Report.Moment(elapsed: .seconds(levels.count), outstanding: Tally(bytes: end, count: 1)))
      ended.totals.outstanding = Tally(bytes: end, count: 1)
      let line = headline(ended)
      return (line.answer, line.reason)
    }
    let rising = (1...15).map { UInt64($0) << 20 }
    #expect(answer(rising, end: 1000) == (.cannotTell, "it rose from 5.0 MiB to 15.0 MiB, which were freed at its end"))
    // What is still there at the end has been looked at; and what is level, or needed in a last step only, does not grow.
    #expect(answer(rising, end: 15 << 20).0 == .none)
    #expect(answer([UInt64](repeating: 9 << 20, count: 15), end: 0).0 == .none)
    #expect(
      answer([UInt64](repeating: 9 << 20, count: 10) + [UInt64](repeating: 50 << 20, count: 5), end: 0).0 == .none)
    #expect(answer((1...4).map { UInt64($0) << 20 }, end: 0).0 == .none)
  }

  /// A check shows what is lost and what grows; what it leaves out is neither.
  @Test func nothingIsLostAndNothingGrows() {
    var checked = report([], isChecked: true)
    checked.leakChecks = [LeakCheckSummary(processID: 1)]
    checked.totals.outstanding = Tally(bytes: 5000, count: 50)
    checked.leftOutSites = 3
    checked.leftOut = Tally(bytes: 5000, count: 50)
    #expect(headline(checked).answer == .none)
    checked.leftOut = Tally(bytes: 100, count: 1)
    #expect(headline(checked).answer == .cannotTell)
  }

  @Test func forecast() {
    var report = report([site(["f"], bytes: 9, .growing, slope: 100, margin: 1)])
    #expect(headline(report).forecast == nil)
    report.memoryLimit = Report.MemoryLimit(leftInBytes: 36_000, name: "MemAvailable")
    #expect(headline(report).forecast == Headline.Forecast(seconds: 360, limit: "MemAvailable"))
  }

  /// A table that was full: no word may rest on what is missing.
  @Test func whereRecordsAreMissingNoWordRestsOnThem() {
    let sites = [site(["ring"], bytes: 900, .plateau), site(["leak"], bytes: 100, .growing, slope: 5, margin: 1)]
    let full = report(sites, loss: ["blocks_refused": 1000, "bytes_refused": 24_000, "nested_calls": 5])
    let findings = Findings(full)
    #expect(findings.missing.isSignificant && findings.missing.blocks == 1000 && findings.missing.bytes == 24_000)
    #expect(findings.missing.causes.map(\.name) == ["blocks_refused"])
    #expect(findings.list.map(\.kind) == [.growing, .unclear])
    #expect(headline(full).isIncomplete)
    #expect(headline(report([sites[0]], loss: ["sites_refused": 1])).answer == .cannotTell)
    // Frees that were not seen look like growth.
    let freesMissing = report(sites, loss: ["missed_frees": 10])
    #expect(Findings(freesMissing).list.allSatisfy { $0.kind == .unclear })
    // In the kernel they are found when the address comes back, and doubt is of the one site.
    var kernel = freesMissing
    kernel.target.kind = .kernel
    #expect(!Findings(kernel).missing.isSignificant && Findings(kernel).missing.causes.isEmpty)
    // One call of many thousand changes nothing, and is told all the same.
    var many = report(sites, loss: ["abandoned_calls": 1])
    many.totals.allocated.count = 10_000
    #expect(!headline(many).isIncomplete && headline(many).missing.blocks == 1)
    #expect(Findings(many).list.map(\.kind) == [.growing, .plateau])
  }
}
