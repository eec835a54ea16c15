import TraceModel

/// A recording made up for a test: a program with call stacks that allocate, free and leak.
struct RecordedRun {
  struct Stack {
    var names: [String]
    var allocated: UInt64
    /// Blocks that are definitely lost, reachable, possibly lost, unchecked; of 100 bytes each.
    var lost: UInt64 = 0
    var held: UInt64 = 0
    var possible: UInt64 = 0
    var unchecked: UInt64 = 0
    var growth: GrowthEvidence.Word?
    /// Bytes per second.
    var slope = 0.0
    var isNameless = false
    var line = 10
    var allocator = "malloc"
  }

  var seconds: Int64 = 60
  var isChecked = true
  var executable: String? = "/opt/app/server"
  var buildID: String? = "aa11"
  var command: String? = "/opt/app/server --port 80"
  var allocator: String? = "glibc"
  var kind = Report.Target.Kind.process
  var exitStatus: Int32?
  var sampleMean: UInt64?
  var loss: [String: UInt64] = [:]
  var stacks: [Stack] = []

  /// Work that leaks nothing, so that there is a load to compare.
  static func work(_ count: UInt64 = 100_000) -> Stack {
    Stack(names: ["respond", "serve", "main"], allocated: count, held: 3, growth: .plateau)
  }

  static func leak(_ name: String = "parse", of count: UInt64 = 10_000, lost: UInt64 = 1000) -> Stack {
    Stack(
      names: [name, "serve", "main"], allocated: count, lost: lost, growth: lost > 0 ? .growing : nil,
      slope: Double(lost) * 100 / 60)
  }

  var report: Report {
    var report = Report(
      target: Report.Target(kind: kind, processID: 7, command: command, executable: executable, exitStatus: exitStatus),
      window: Report.Window(startInUnixSeconds: 1_700_000_000, duration: .seconds(seconds)))
    if kind != .kernel {
      report.target.programs = [Report.Program(executable: executable, buildID: buildID, allocator: allocator)]
    }
    report.settings = Report.Settings()
    if let sampleMean { report.sampling = Report.Sampling(meanInBytes: sampleMean) }
    report.freedSites = []
    var check = LeakCheckSummary(processID: 7)
    for (index, stack) in stacks.enumerated() {
      let site = site(stack, index)
      report.totals.allocated += site.allocated
      report.totals.freed += site.freed
      report.totals.outstanding += site.outstanding
      for (kind, tally) in site.verdicts { check.kinds[kind, default: Tally()] += tally }
      if site.outstanding.count > 0 { report.sites.append(site) } else { report.freedSites?.append(site) }
    }
    if isChecked { report.leakChecks = [check] }
    report.loss = loss.map { Report.LossCounter(name: $0.key, description: "lost", value: $0.value) }
    return report
  }

  private func site(_ stack: Stack, _ index: Int) -> AllocationSite {
    func tally(_ count: UInt64) -> Tally { Tally(bytes: count * 100, count: count) }
    let frames = stack.names.enumerated().map { place, name in
      var frame = Frame(
        address: UInt64(index * 1000 + place), function: stack.isNameless ? nil : name,
        module: executable ?? "/opt/app/server",
        moduleOffset: UInt64(index * 1000 + place + (buildID == "aa11" ? 0 : 7)))
      frame.line = stack.line
      return frame
    }
    let outstanding = tally(stack.lost + stack.held + stack.possible + stack.unchecked)
    var site = AllocationSite(
      processID: 7, allocationClass: .heap, allocator: stack.allocator, outstanding: outstanding,
      allocated: tally(stack.allocated), freed: tally(stack.allocated - outstanding.count),
      stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames)
    if outstanding.count > 0 {
      site.verdicts =
        isChecked
        ? [
          .definitelyLost: tally(stack.lost), .stillReachable: tally(stack.held), .possiblyLost: tally(stack.possible),
          .unchecked: tally(stack.unchecked),
        ].filter { $0.value.count > 0 } : [.unchecked: outstanding]
    }
    if let word = stack.growth {
      site.growth = GrowthEvidence(
        word: word, slopeInBytesPerSecond: stack.slope, lowerSlope: stack.slope * 0.9 - (word == .growing ? 0 : 50),
        upperSlope: stack.slope * 1.1 + (word == .growing ? 0 : 50), confidence: 0.95, windows: 30,
        generationsAlive: 28,
        survival: 0.5)
    }
    return site
  }
}
