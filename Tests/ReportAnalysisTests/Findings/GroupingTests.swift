import ReportAnalysis
import Testing
import TraceModel

/// `report --by`: by the code that is to be looked at, and by the processes that really hold it.
@Suite struct GroupingTests {
  private func site(_ names: [String], line: Int = 1, bytes: UInt64, process: Int32) -> AllocationSite {
    let held = Tally(bytes: bytes, count: 1)
    return AllocationSite(
      processID: process, allocationClass: .heap, allocator: "malloc", outstanding: held, allocated: held,
      freed: Tally(),
      stack: StackTrace(addresses: names.indices.map { UInt64($0) }, completeness: .complete),
      frames: names.enumerated().map {
        Frame(
          address: UInt64($0), function: $1, module: $1.hasPrefix("operator") ? "/lib/libstdc++.so.6" : "/bin/svc",
          file: "svc.cpp", line: line)
      })
  }

  private func report(_ sites: [AllocationSite]) -> Report {
    var report = Report(
      target: Report.Target(kind: .system), window: Report.Window(startInUnixSeconds: 0, duration: .seconds(10)),
      sites: sites)
    report.processes = [7, 8].map {
      Report.ProcessTotals(
        processID: $0, command: "svc", state: .running, totals: Report.Totals(), controlGroup: "/group\($0)")
    }
    return report
  }

  private let new = "operator new(unsigned long)"

  @Test func byTheOwnFunction() {
    let report = report([
      site([new, "std::vector<int>::push_back(int)", "parse(int)", "main"], line: 1, bytes: 10, process: 7),
      site([new, "parse(int)", "main"], line: 2, bytes: 20, process: 8),
      site([new, "store(int)"], bytes: 5, process: 7),
    ])
    func rows(_ grouping: ReportGrouping) -> [String] {
      grouping.apply(to: report).sites.map {
        "\($0.frames[0].function ?? "?"):\($0.frames[0].line ?? 0) \($0.outstanding.bytes)"
      }
    }
    #expect(rows(ReportGrouping(.function)) == ["parse(int):0 30", "store(int):0 5"])
    #expect(rows(ReportGrouping(.line)) == ["parse(int):2 20", "parse(int):1 10", "store(int):1 5"])
    #expect(rows(ReportGrouping(.module)) == ["svc:0 35"])
    #expect(rows(ReportGrouping(.function, isExact: true)) == ["\(new):0 35"])
    #expect(rows(ReportGrouping(.module, isExact: true)) == ["libstdc++.so.6:0 35"])
  }

  /// A stack that two processes share belongs to both, in their shares.
  @Test func sharedStacksKeepTheirOwners() throws {
    let sites = [site(["parse(int)"], bytes: 10, process: 7), site(["parse(int)"], bytes: 30, process: 8)]
    let merged = ReportMerge.merged(sites)
    #expect(merged.count == 1)
    #expect(merged[0].shares?.map(\.processID) == [8, 7])
    #expect(merged[0].shares?.map(\.outstanding.bytes) == [30, 10])
    let byProcess = ReportGrouping(.process).apply(to: report(merged)).sites
    #expect(byProcess.map { $0.frames[0].function } == ["svc (8)", "svc (7)"])
    #expect(byProcess.map(\.outstanding.bytes) == [30, 10])
    let byGroup = ReportGrouping(.cgroup).apply(to: report(merged)).sites
    #expect(byGroup.map { $0.frames[0].function } == ["/group8", "/group7"])
    // By function it is one, and its finding names both.
    let byFunction = ReportGrouping(.function).apply(to: report(sites))
    #expect(Findings(byFunction).list[0].processes.map(\.processID) == [8, 7])
    // A site of one process has no shares.
    #expect(ReportMerge.merged([sites[0], sites[0]])[0].shares == nil)
  }

  @Test func growthOfAGroupAddsUp() throws {
    var sites = [
      site([new, "parse(int)", "a"], bytes: 10, process: 7), site([new, "parse(int)", "b"], bytes: 20, process: 7),
    ]
    for index in sites.indices {
      sites[index].growth = GrowthEvidence(
        word: .growing, slopeInBytesPerSecond: 10, lowerSlope: 7, upperSlope: 13, confidence: 0.95, windows: 40,
        generationsAlive: 30, survival: 1)
    }
    let growth = try #require(ReportGrouping(.function).apply(to: report(sites)).sites[0].growth)
    #expect(growth.word == .growing && growth.slopeInBytesPerSecond == 20)
    #expect(abs(growth.upperSlope - 24.242) < 0.001 && growth.generationsAlive <= growth.windows)
  }
}
