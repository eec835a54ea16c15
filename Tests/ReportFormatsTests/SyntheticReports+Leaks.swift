import TraceModel

extension SyntheticReports {
  /// A command after a leak check: all kinds, growth, suppressions, explanations, retention.
  static var leaks: Report {
    var report = Report(
      target: Report.Target(
        kind: .command, processID: 77, command: "importer data.csv", executable: "/opt/app/bin/importer",
        exitStatus: 0),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(600)))
    report.totals = Report.Totals(
      outstanding: Tally(bytes: 1_048_576, count: 2100), allocated: Tally(bytes: 4_194_304, count: 9000),
      freed: Tally(bytes: 3_145_728, count: 6900))
    report.processes = [
      Report.ProcessTotals(processID: 77, command: "importer", state: .exited, totals: report.totals)
    ]
    report.sites = [growingSite, reachableSite]
    report.leakChecks = [
      LeakCheckSummary(
        processID: 77, paused: .microseconds(31_400), took: .milliseconds(212), scannedBytes: 1_288_490_189,
        kinds: [
          .definitelyLost: Tally(bytes: 1_012_736, count: 1978), .indirectlyLost: Tally(bytes: 1024, count: 2),
          .possiblyLost: Tally(bytes: 64, count: 1), .stillReachable: Tally(bytes: 4096, count: 8),
        ],
        suppressed: Tally(bytes: 30_656, count: 111),
        method: .paused, notes: ["attached mid-life: unknown heap counts as roots"]),
      LeakCheckSummary(
        processID: 78, took: .seconds(2), scannedBytes: 512, kinds: [.unchecked: Tally(bytes: 16, count: 1)],
        method: .running),
    ]
    report.timeline = (0..<48).map { (step: Int) -> Report.Moment in
      let outstanding = Tally(bytes: UInt64(step) * 22_310, count: UInt64(step) * 44)
      let resident: UInt64 = 20_971_520 + UInt64(step) * 2_228_224
      return Report.Moment(
        elapsed: .milliseconds(12_766 * step), outstanding: outstanding, residentBytes: step == 47 ? nil : resident)
    }
    report.leftOutSites = 12
    report.leftOut = Tally(bytes: 40_960, count: 90)
    report.suppressions = [
      SuppressionUse(pattern: "libfontconfig", matched: Tally(bytes: 30_000, count: 100)),
      SuppressionUse(pattern: "known one", matched: Tally(bytes: 656, count: 11)),
    ]
    report.explanations = [
      BlockExplanation(
        processID: 77, address: 0x5000_0018,
        block: BlockExplanation.Block(address: 0x5000_0000, sizeInBytes: 64, kind: .stillReachable),
        steps: [
          BlockExplanation.Step(
            holder: "cache+0x10 [importer]", pointer: 0x4000_0000, targetAddress: 0x4000_0000,
            targetSizeInBytes: 4096, link: .start),
          BlockExplanation.Step(
            holder: "0x40000020, 32 bytes inside of a block of 4096 bytes", pointer: 0x5000_0008,
            targetAddress: 0x5000_0000, targetSizeInBytes: 64, link: .interior),
        ]),
      BlockExplanation(
        processID: 77, address: 0x6000_0000,
        block: BlockExplanation.Block(address: 0x6000_0000, sizeInBytes: 512, kind: .definitelyLost)),
      BlockExplanation(processID: 77, address: 0x10, block: nil),
    ]
    report.retention = [
      RetentionSummary(
        processID: 77, residentHeapBytes: 125_829_120, mappedHeapBytes: 134_217_728, outstandingBytes: 1_048_576,
        residentHeapGrowth: 104_857_600, outstandingGrowth: -4096,
        finding: "the heap grew and what is outstanding did not")
    ]
    return report
  }

  private static var growingSite: AllocationSite {
    var site = AllocationSite(
      processID: 77, allocationClass: .heap, allocator: "malloc",
      outstanding: Tally(bytes: 1_013_824, count: 1981), allocated: Tally(bytes: 1_024_000, count: 2000),
      freed: Tally(bytes: 10_176, count: 19), oldestAge: .seconds(599),
      stack: StackTrace(addresses: leafFrames.map(\.address), completeness: .complete), frames: leafFrames,
      verdicts: [
        .definitelyLost: Tally(bytes: 1_012_736, count: 1978), .indirectlyLost: Tally(bytes: 1024, count: 2),
        .possiblyLost: Tally(bytes: 64, count: 1),
      ],
      allocations: [
        OutstandingAllocation(
          address: 0x6000_0000, sizeInBytes: 512, age: .seconds(599),
          verdict: BlockVerdict(kind: .definitelyLost, keeps: Tally(bytes: 1024, count: 2)),
          firstBytes: Array("hello, world \u{1}\u{7f}and on".utf8)),
        OutstandingAllocation(
          address: 0x6000_1000, sizeInBytes: 64, age: .seconds(1), verdict: BlockVerdict(kind: .possiblyLost),
          firstBytes: Array(0..<64)),
      ])
    site.keeps = Tally(bytes: 1024, count: 2)
    site.growth = GrowthEvidence(
      word: .growing, slopeInBytesPerSecond: 1700.5, lowerSlope: 1650, upperSlope: 1752.25, confidence: 0.95,
      windows: 47, generationsAlive: 46, survival: 0.9905)
    let windows: [Int] = Array(0..<47)
    site.course = SiteCourse(
      seconds: windows.map { (Double($0 * 12_766) + 6383) / 1000 }, bytes: windows.map { 21_570 * UInt64($0 + 1) })
    return site
  }

  private static var reachableSite: AllocationSite {
    var site = AllocationSite(
      processID: 77, allocationClass: .heap, allocator: "calloc", outstanding: Tally(bytes: 4112, count: 9),
      allocated: Tally(bytes: 8192, count: 16), freed: Tally(bytes: 4080, count: 7),
      stack: StackTrace(addresses: [0x1000], completeness: .complete),
      verdicts: [.stillReachable: Tally(bytes: 4096, count: 8), .unchecked: Tally(bytes: 16, count: 1)],
      allocations: [
        OutstandingAllocation(
          address: 0x5000_0000, sizeInBytes: 64, age: .milliseconds(5),
          verdict: BlockVerdict(kind: .stillReachable, holder: "CPython arena")),
        OutstandingAllocation(
          address: 0x5000_1000, sizeInBytes: 16, age: .zero, verdict: BlockVerdict(kind: .unchecked)),
      ])
    site.holders = ["CPython arena": Tally(bytes: 4000, count: 6)]
    site.growth = GrowthEvidence(
      word: .unclear, slopeInBytesPerSecond: -0.5, lowerSlope: -.infinity, upperSlope: .infinity, confidence: 0.95,
      windows: 5, generationsAlive: 1, survival: nil)
    return site
  }
}
