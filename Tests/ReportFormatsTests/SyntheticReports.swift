import TraceModel

/// Reports made up for tests.
enum SyntheticReports {
  static let start = 1_700_000_000.25  // 2023-11-14 22:13:20.250 UTC

  static var empty: Report {
    Report(
      target: Report.Target(
        kind: .process, processID: 4242, command: "sleep 1", executable: "/usr/bin/sleep"),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(5)))
  }

  static let probes = [
    Report.Probe(
      function: "malloc", object: "/usr/lib/x86_64-linux-gnu/libc.so.6", offset: 0,
      instruction: "push r12", isEmulated: true, kind: .multiSession, hits: 120),
    Report.Probe(
      function: "reallocarray", object: "/usr/lib/x86_64-linux-gnu/libc.so.6", offset: 0,
      instruction: "mov rax, rsi", isEmulated: false, kind: .perf, hits: 3),
  ]

  static let leafFrames = [
    Frame(
      address: 0x7f00_0000_1234, function: "std::vector<int>::grow(unsigned long)",
      module: "/opt/app/bin/server", moduleOffset: 0x1234, buildID: "abcdef01", file: "vector.hpp",
      line: 88, isInlined: true),
    Frame(
      address: 0x7f00_0000_1234, function: "Cache::insert(Key const&)", functionOffset: 0x42,
      module: "/opt/app/bin/server", moduleOffset: 0x1234, buildID: "abcdef01",
      file: "src/cache.cpp", line: 120),
    Frame(
      address: 0x7f00_0000_2000, module: "/opt/app/lib/libplugin.so", moduleOffset: 0x2000,
      unresolved: .noSymbol),
    Frame(address: 0x7fff_0000_0000, unresolved: .unmapped),
    Frame(
      address: 0x5555_0000_1000, function: "main", functionOffset: 0x1d,
      module: "/opt/app/bin/server"),
  ]

  /// One process, leak check and single blocks.
  static var process: Report {
    var report = Report(
      target: Report.Target(
        kind: .process, processID: 4242, command: "server --port 80",
        executable: "/opt/app/bin/server"),
      window: Report.Window(startInUnixSeconds: start, duration: .milliseconds(10_500)))
    report.probes = probes
    report.totals = Report.Totals(
      outstanding: Tally(bytes: 5_242_976, count: 4),
      allocated: Tally(bytes: 9_000_000, count: 100),
      freed: Tally(bytes: 3_757_024, count: 96), unmatchedFrees: 7)
    report.processes = [
      Report.ProcessTotals(
        processID: 4242, command: "server", state: .running, totals: report.totals)
    ]
    report.loss = [
      Report.LossCounter(
        name: "blocks_refused", description: "blocks not recorded because the table was full",
        value: 0),
      Report.LossCounter(
        name: "events_lost", description: "events dropped because the ring buffer was full",
        value: 12),
    ]
    report.sites = [
      AllocationSite(
        processID: 4242, allocationClass: .heap, allocator: "malloc",
        outstanding: Tally(bytes: 5_242_880, count: 1),
        allocated: Tally(bytes: 5_242_880, count: 1),
        freed: Tally(), oldestAge: .milliseconds(9_500),
        stack: StackTrace(addresses: leafFrames.map(\.address), completeness: .complete),
        frames: leafFrames,
        verdicts: [
          .definitelyLost: Tally(bytes: 5_242_880, count: 1), .stillReachable: Tally(),
        ],
        allocations: [
          OutstandingAllocation(
            address: 0x7f12_3456_7890, sizeInBytes: 5_242_880, age: .milliseconds(9_500),
            verdict: BlockVerdict(kind: .definitelyLost))
        ]),
      AllocationSite(
        processID: 4242, allocationClass: .mapping, allocator: "mmap",
        outstanding: Tally(bytes: 96, count: 3), allocated: Tally(bytes: 128, count: 4),
        freed: Tally(bytes: 32, count: 1),
        stack: StackTrace(addresses: [0x1000, 0x2000], completeness: .broken)),
    ]
    report.notes = ["3 libraries have no unwind tables"]
    return report
  }

  /// A followed command with children, sampled.
  static var sampledTree: Report {
    var report = Report(
      target: Report.Target(
        kind: .command, processID: 100, command: "make -j2", executable: "/usr/bin/make",
        exitStatus: 139),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(7323)),
      sampling: Report.Sampling(meanInBytes: 524_288))
    let totals = Report.Totals(
      outstanding: Tally(bytes: 3_000_000_000, count: 5000),
      allocated: Tally(bytes: 4_000_000_000, count: 9000),
      freed: Tally(bytes: 1_000_000_000, count: 4000), outstandingBytesStandardError: 1_234_567.4)
    report.totals = totals
    report.processes = [
      Report.ProcessTotals(processID: 100, command: "make -j2", state: .running, totals: totals),
      Report.ProcessTotals(
        processID: 101, parentProcessID: 100, command: "cc -c a.c", state: .exited,
        totals: Report.Totals(outstanding: Tally(bytes: 512, count: 2))),
      Report.ProcessTotals(
        processID: 1020, parentProcessID: 100, command: "sh", state: .replaced,
        totals: Report.Totals()),
    ]
    for index: UInt64 in 0..<3 {
      let completeness: StackTrace.Completeness = index == 0 ? .truncated : .framePointersOnly
      let stack = StackTrace(addresses: [0x1000 + index], completeness: completeness)
      let outstanding = Tally(bytes: (3 - index) * 1_000_000, count: 10)
      report.sites.append(
        AllocationSite(
          processID: 100 + Int32(index), allocationClass: .heap, allocator: "operator new",
          outstanding: outstanding, allocated: Tally(bytes: 4_000_000, count: 20),
          freed: Tally(bytes: 1, count: 1), outstandingBytesStandardError: 1234.5,
          oldestAge: .seconds(90_000), stack: stack))
    }
    return report
  }

  /// Names that try to leave their place in the terminal or the document.
  static var hostile: Report {
    let evil =
      "\u{1b}[2J\u{1b}]0;owned\u{7}\"\\\n\r\t\u{0}\u{202e}cod\u{200b}e\u{2028}\u{9b}31m\u{7f}é漢"
    var report = Report(
      target: Report.Target(
        kind: .process, processID: 1, command: evil, executable: "/tmp/" + evil),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(1)))
    report.probes = [
      Report.Probe(
        function: evil, object: evil, offset: .max, instruction: evil, isEmulated: true,
        kind: .multi,
        hits: .max)
    ]
    report.totals.outstanding = Tally(bytes: .max, count: .max)
    report.processes = [
      Report.ProcessTotals(processID: 1, command: evil, state: .running, totals: Report.Totals()),
      Report.ProcessTotals(processID: -1, command: "", state: .exited, totals: Report.Totals()),
    ]
    report.loss = [Report.LossCounter(name: "events_lost", description: evil, value: .max)]
    report.sites = [
      AllocationSite(
        processID: 1, allocationClass: .heap, allocator: evil,
        outstanding: Tally(bytes: .max, count: 1),
        allocated: Tally(), freed: Tally(), outstandingBytesStandardError: .nan,
        oldestAge: .seconds(-1),
        stack: StackTrace(addresses: [.max], completeness: .complete),
        frames: [
          Frame(
            address: .max, function: evil, functionOffset: .max, module: evil, file: evil, line: -1),
          Frame(address: 1, module: "[vdso]", moduleOffset: 1, unresolved: .unreadableModule),
        ],
        allocations: [OutstandingAllocation(address: .max, sizeInBytes: .max, age: .nanoseconds(1))]
      )
    ]
    report.sites[0].holders = [evil: Tally(bytes: 1, count: 1)]
    report.sites[0].verdicts = [.stillReachable: Tally(bytes: 1, count: 1)]
    report.sites[0].allocations[0].verdict = BlockVerdict(kind: .stillReachable, holder: evil)
    report.sites[0].frames[0].linkageName = evil
    report.sites[0].growth = GrowthEvidence(
      word: .unclear, slopeInBytesPerSecond: .nan, lowerSlope: -.infinity, upperSlope: .infinity, confidence: 0.95,
      windows: 3, generationsAlive: 0, survival: nil)
    report.leakChecks = [LeakCheckSummary(processID: 1, scannedBytes: .max, notes: [evil])]
    report.explanations = [
      BlockExplanation(
        processID: 1, address: .max, block: BlockExplanation.Block(address: 0, sizeInBytes: .max, kind: .unchecked),
        steps: [
          BlockExplanation.Step(holder: evil, pointer: .max, targetAddress: 0, targetSizeInBytes: 0, link: .interior)
        ])
    ]
    report.suppressions = [SuppressionUse(pattern: evil, matched: Tally(bytes: .max, count: .max))]
    report.retention = [
      RetentionSummary(
        processID: 1, residentHeapBytes: .max, mappedHeapBytes: .max, outstandingBytes: .max, residentHeapGrowth: .min,
        outstandingGrowth: .max, finding: evil)
    ]
    report.notes = [evil]
    return report
  }

  static let all: [(name: String, report: Report)] = [
    ("empty", empty), ("process", process), ("sampled-tree", sampledTree), ("hostile", hostile),
    ("leaks", leaks), ("kernel", kernel), ("where", whereMemoryIs),
  ]
}
