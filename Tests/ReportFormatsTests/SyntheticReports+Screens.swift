import TraceModel

/// Reports whose first screens are compared, one of each kind of answer.
extension SyntheticReports {
  static var screens: [(name: String, report: Report)] {
    [
      ("native", nativeLeak), ("cache", growingCache), ("fragmentation", fragmentation), ("startup", startupOnly),
      ("interpreter", interpreter), ("processes", severalProcesses), ("incomplete", incomplete), ("kernel", kernel),
      ("unexplained", unexplained),
    ]
  }

  private static func frames(_ names: [String], module: String) -> [Frame] {
    names.enumerated().map { index, name in
      // `function file:line`, or a function of a library.
      let parts = name.split(separator: "@").map(String.init)
      var frame = Frame(
        address: UInt64(0x1000 + index), function: parts[0], functionOffset: 0x20,
        module: parts.count > 1 ? module : parts[0].contains("operator new") ? "/usr/lib/libstdc++.so.6" : module)
      if ["malloc", "strdup", "start_thread"].contains(parts[0]) { frame.module = "/usr/lib/libc.so.6" }
      if parts.count > 1 {
        let place = parts[1].split(separator: ":")
        frame.file = String(place[0])
        frame.line = place.count > 1 ? Int(place[1]) : nil
      }
      return frame
    }
  }

  private static func site(
    _ names: [String], _ bytes: UInt64, _ count: UInt64, lost: UInt64? = nil, module: String = "/usr/sbin/svc",
    process: Int32 = 30070, _ word: GrowthEvidence.Word, _ slope: Double = 0
  ) -> AllocationSite {
    let held = Tally(bytes: bytes, count: count)
    var site = AllocationSite(
      processID: process, allocationClass: .heap, allocator: "malloc", outstanding: held, allocated: held,
      freed: Tally(), stack: StackTrace(addresses: names.indices.map { UInt64(0x1000 + $0) }, completeness: .complete),
      frames: frames(names, module: module))
    if let lost {
      let part = Tally(bytes: lost, count: lost == bytes ? count : lost == 0 ? 0 : count / 2)
      site.verdicts = [
        .definitelyLost: part, .stillReachable: Tally(bytes: bytes - lost, count: count - part.count),
      ]
    }
    site.growth = GrowthEvidence(
      word: word, slopeInBytesPerSecond: slope, lowerSlope: slope * 0.96, upperSlope: slope * 1.02, confidence: 0.95,
      windows: 52, generationsAlive: 52, survival: 1)
    return site
  }

  private static func report(
    _ command: String, seconds: Int64 = 15, checked: Bool = false, _ sites: [AllocationSite],
    allocated: UInt64 = 100_000
  ) -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 30070, command: command),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(seconds)), sites: sites)
    report.totals.outstanding = sites.reduce(into: Tally()) { $0 += $1.outstanding }
    report.totals.allocated = Tally(bytes: allocated * 100, count: allocated)
    report.processes = [
      Report.ProcessTotals(
        processID: 30070, command: command, state: .running, totals: report.totals,
        controlGroup: "/system.slice/svc.service")
    ]
    report.memoryLimit = Report.MemoryLimit(leftInBytes: 17_000_000_000, name: "MemAvailable")
    if checked {
      var check = LeakCheckSummary(processID: 30070)
      for site in sites {
        for (kind, tally) in site.verdicts { check.kinds[kind, default: Tally()] += tally }
      }
      report.leakChecks = [check]
    }
    return report
  }

  /// A program that maps its memory by system calls of its own.
  private static var unexplained: Report {
    var report = report("/usr/sbin/svc", [site(["malloc", "setup@svc.cpp:9"], 1_024_000, 10, .startup)])
    report.unexplained = [
      UnexplainedGrowth(
        processID: 30070, bytes: 68 << 20,
        parts: [
          UnexplainedGrowth.Part(kind: .anonymous, bytes: 60 << 20),
          UnexplainedGrowth.Part(kind: .sharedMemory, bytes: 8 << 20),
        ])
    ]
    return report
  }

  private static var nativeLeak: Report {
    var sites: [AllocationSite] = (0..<40).map { index in
      var site = site(
        [
          "malloc", "operator new(unsigned long)", "std::vector<char>::resize(unsigned long)", "parse@svc.cpp:13",
          "caller\(index)@svc.cpp:\(index)",
        ],
        125_829, 40, lost: 125_829, .growing, 11_187)
      site.ownGrowth = GrowthEvidence(
        word: .growing, slopeInBytesPerSecond: 447_488, lowerSlope: 429_056, upperSlope: 455_680, confidence: 0.95,
        windows: 52, generationsAlive: 52, survival: 1)
      return site
    }
    var remembered = site(
      ["malloc", "remember(int)@svc.cpp:11", "handle(int)@svc.cpp:40"], 2_516_582, 5, lost: 0, .growing, 149_504)
    remembered.heldBy = [
      Holder(
        kind: .global, name: "sessions", file: "cache.cpp", line: 12, held: Tally(bytes: 2_441_084, count: 4),
        share: 0.97)
    ]
    sites.append(remembered)
    sites.append(site(["malloc", "ring@svc.cpp:14", "main@svc.cpp:80"], 225_280, 55, lost: 0, .plateau))
    return report("/usr/sbin/svc --port 80", checked: true, sites)
  }

  private static var growingCache: Report {
    report(
      "svc",
      [
        site(
          [
            "malloc", "operator new(unsigned long)", "std::_Rb_tree<int>::_M_insert(int)",
            "Cache::insert(Key const&)@cache.cpp:30", "main@main.cpp:9",
          ], 8_057_526, 90_000, .growing, 606_105),
        site(["malloc", "buffers@main.cpp:3"], 65_536, 1, .startup),
      ])
  }

  private static var fragmentation: Report {
    var report = report("svc", checked: true, [site(["malloc", "scatter@heap.c:20"], 104_704, 409, lost: 0, .plateau)])
    report.retention = [
      RetentionSummary(
        processID: 30070, residentHeapBytes: 120 << 20, mappedHeapBytes: 128 << 20, outstandingBytes: 104_704,
        residentHeapGrowth: 100 << 20, outstandingGrowth: 104_704,
        finding:
          "RSS of the heap grew by 100.0 MiB while outstanding memory grew by 0.1 MiB: fragmentation or retention by "
          + "the allocator, not a leak; malloc_trim(0) gives whole free pages back")
    ]
    return report
  }

  private static var startupOnly: Report {
    report(
      "svc",
      [
        site(["malloc", "strdup", "readConfiguration@config.c:77", "main@main.c:9"], 2_097_152, 40_000, .startup),
        site(["malloc", "tables@main.c:12"], 65_536, 1, .startup),
      ])
  }

  private static var interpreter: Report {
    let tail = ["_PyEval_EvalFrameDefault", "Py_BytesMain", "main"]
    var dictionaries = site(
      ["malloc", "_PyObject_Malloc", "PyDict_SetItem"] + tail, 5_242_880, 20, lost: 0, module: "/usr/bin/python3.11",
      .growing, 349_525)
    dictionaries.holders = ["CPython arena": Tally(bytes: 5_242_880, count: 20)]
    var report = report("python3 app.py", checked: true, [dictionaries])
    report.sites.append(
      site(
        ["malloc", "PyMem_RawMalloc", "PyList_New", "rows@db.c:50"] + tail, 90_000, 900, lost: 90_000,
        module: "/usr/bin/python3.11", .growing, 6000))
    report.sites[1].frames[3].module = "/srv/db.so"
    report.totals.outstanding += report.sites[1].outstanding
    return report
  }

  private static var severalProcesses: Report {
    var report = report(
      "nginx",
      [
        site(["malloc", "handle@http.c:7"], 3_000_000, 3000, process: 30071, .growing, 200_000),
        site(["malloc", "handle@http.c:7"], 1_000_000, 1000, process: 30072, .growing, 66_000),
        site(["malloc", "cycle@main.c:7"], 500_000, 10, process: 30070, .plateau),
      ])
    report.target = Report.Target(kind: .system, command: "control group web.service")
    report.processes = [30070, 30071, 30072].map {
      Report.ProcessTotals(processID: $0, command: "nginx", state: .running, totals: Report.Totals())
    }
    return report
  }

  private static var incomplete: Report {
    var report = report(
      "svc", [site(["malloc", "list@svc.c:24"], 25_165_824, 1_048_576, .plateau)], allocated: 2_165_091)
    report.loss = [
      Report.LossCounter(
        name: "blocks_refused", description: "blocks not recorded because the table of outstanding blocks was full",
        value: 1_116_515),
      Report.LossCounter(
        name: "bytes_refused", description: "bytes in blocks not recorded because the table was full", value: 26_796_360
      ),
    ]
    return report
  }
}
