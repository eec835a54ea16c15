import AllocationTracing
import BPFRuntime
import CProcessControl
import Gate
import Glibc
import HostObservation
import LeakAnalysis
import ProcessControl
import ProcessImage
import Quantities
import ReportAnalysis
import ReportFormats
import Scheduling
import Symbolization
import TraceModel

/// Carries out one `leaktrace trace`: attaches, reports on schedule, and cleans up however it ends.
package final class TraceRunner {
  private let plan: TracePlan
  private let symbolizer: Symbolizer
  private let symbolAdvice = SymbolAdvice()
  private let loop: EventLoop
  private var live: LiveTerminal?
  private var progress: ProgressLine
  /// nil if leaktrace starts the traced command itself.
  private var attacher: TargetAttacher?
  private let sampler = HostSampler()
  /// nil if no leak check was asked for.
  private var leakChecks: LeakCheckRun?

  package init(_ plan: TracePlan) {
    self.plan = plan
    var options = SymbolizerOptions()
    options.linesAndInlines = true
    options.worker = WorkerLimits()
    symbolizer = Symbolizer(options: options)
    progress = ProgressLine(isAllowed: !plan.isLive)
    loop = EventLoop(isLive: plan.isLive)
  }

  /// Returns the exit code.
  package func run() throws -> Int32 {
    for destination in plan.destinations { try destination.open() }
    if plan.isLive, LiveTerminal.isPossible {
      LiveTerminal.prepare()
      live = LiveTerminal()
    }
    // If the guardian cannot be started, everything still works, but a kill -9 can leave breakpoints behind.
    _ = cprocess_start_guardian()
    loop.startHearing()
    var processIDs: [Int32] = []
    if case .running(let selection) = plan.subject { processIDs = try selection.find() }
    let tracer = try AllocationTracer.make(
      configuration: plan.trace, discovery: plan.discovery, symbolizer: symbolizer)
    defer { tracer.stop() }
    defer { live?.close() }
    if plan.printsEvents { tracer.onEvent = { [unowned self] in printEvent($0, tracer) } }

    var own: TargetCommand?
    switch plan.subject {
    case .command(let arguments):
      let watch = plan.leakCheck == nil ? nil : ExitWatch(thread: TracerThread())
      prepareLeakChecks(tracer, watch)
      let started = try TargetCommand(arguments: arguments, exitWatch: watch)
      own = started
      tracer.gateHost = StandingGateHost(processID: started.processID)
      try started.start(with: tracer)
      tracer.gateHost = plan.trace.usesGates ? PausingGateHost(watch: watch) : nil
    case .running(let selection):
      prepareLeakChecks(tracer, nil)
      if plan.trace.usesGates { tracer.gateHost = PausingGateHost(watch: nil) }
      let attacher = TargetAttacher(selection: selection, tracer: tracer)
      defer { progress.clear() }
      try attacher.attach(processIDs, progress: &progress)
      self.attacher = attacher
      progress.clear()
      announce(tracer)
    }
    return try follow(tracer, own)
  }

  private func prepareLeakChecks(_ tracer: AllocationTracer, _ watch: ExitWatch?) {
    guard let leakCheck = plan.leakCheck else { return }
    leakChecks = LeakCheckRun(
      settings: leakCheck.settings, tracer: tracer, symbolizer: symbolizer, watch: watch, dumpBytes: leakCheck.dumpBytes
    )
    guard let watch else { return }
    // The child is held while leaktrace attaches to it, so that it cannot exit before it is watched.
    tracer.onNewImage = { process in watch.watch(process.processID) }
  }

  private func announce(_ tracer: AllocationTracer) {
    guard isatty(STDERR_FILENO) == 1 || plan.isVerbose else { return }
    let targets = tracer.processes.filter(\.isTarget)
    let names =
      targets.count > 10
      ? "\(groupedNumber(targets.count)) processes" : targets.map { String($0.processID) }.joined(separator: ", ")
    writeAll(
      "leaktrace: attached to \(names), \(counted(tracer.probes.count, "function")) probed; Ctrl-C to end\n",
      to: STDERR_FILENO)
  }

  /// Whether the last report has leaks of those kinds that make leaktrace fail.
  private var hasFailingLeaks = false
  /// Whether the last report cannot say that nothing leaks: a check did not take place, or records are missing.
  private var hasGaps = false

  /// What a finding says comes before the status of the command, which is the shell's: 128 and the signal if one ended it.
  private func exitCode(_ own: TargetCommand?) -> Int32 {
    if plan.leakCheck?.failsOnLeaks == true {
      if hasFailingLeaks { return Failure.leakFound }
      if hasGaps { return Failure.cannotTell }
    }
    return own?.exitStatus ?? 0
  }

  // MARK: The loop

  private func follow(_ tracer: AllocationTracer, _ own: TargetCommand?) throws -> Int32 {
    live?.open()
    let exits = leakChecks?.watch.map { [$0.descriptor] } ?? []
    loop.longestWait = .milliseconds(100)
    loop.onTurn(
      watching: { tracer.pollDescriptors + exits },
      take: { [unowned self] in
        tracer.handleEvents()
        attacher?.attachNew()
        leakChecks?.checkHeld()
        own?.reap()
      })
    let finish = { [unowned self] (signal: Int32) in
      try write(tracer, own, isLast: true)
      loop.end(signal == 0 ? exitCode(own) : Failure.ended(by: signal))
    }
    loop.onUser(live, finish: finish)
    loop.onTurn {
      guard !tracer.hasRunningTargets || own?.exitStatus != nil else { return }
      own?.reap(waits: true)
      tracer.handleEvents()
      try finish(0)
    }
    plan.schedule.start(
      on: loop, report: { [unowned self] in try write(tracer, own, isLast: false) }, finish: { try finish(0) })
    return try loop.run()
  }

  // MARK: Reports

  private func write(_ tracer: AllocationTracer, _ own: TargetCommand?, isLast: Bool) throws {
    if leakChecks != nil { progress.show("looking for leaks") }
    defer { progress.clear() }
    leakChecks?.checkRunning()
    let destinations = plan.destinations.filter { isLast || live == nil || $0.path != nil }
    // All destinations are written from one snapshot, so that their numbers agree.
    let isSummary = plan.leakCheck?.isSummary == true
    var limits = destinations.map { isSummary && !$0.format.isRecording ? 0 : $0.format.sites(top: plan.top) }
    if live != nil { limits.append(LiveTerminal.mostSites) }
    if plan.onReport != nil { limits.append(nil) }
    let report = makeReport(
      tracer, own, limit: ReportLimit.largest(of: limits), isRecorded: destinations.contains { $0.format.isRecording })
    let shown = report.selected(plan.request.selection)
    if let live {
      live.show(shown.limited(to: LiveTerminal.mostSites))
      // The live view is closed before the last report is printed, so that this report remains on the terminal.
      if isLast { live.close() }
    }
    if let hook = plan.onReport { ReportHook.run(hook, report) }
    for destination in destinations {
      var options = ReportOptions()
      options.text.showAllocations = plan.showsBlocks
      options.text.showProbes = plan.isVerbose
      options.text.explainedStacks = plan.leakCheck?.explainedStacks ?? []
      options.text.showSites = !isSummary
      options.text.suppressionEntry = plan.leakCheck?.suppressionEntry
      options.text.fullNames = plan.fullNames
      options.text.shortenFunctionName = FunctionNameShortener().shorten
      options.text.top = plan.top ?? destination.format.usualSites
      options.text.subject = plan.subject.options
      options.text.isShort = live != nil
      plan.display.apply(to: &options.text, isStandardOutput: destination.path == nil)
      // A recording holds everything: what is to be shown is chosen when it is shown.
      let limit = isSummary ? 0 : destination.format.sites(top: plan.top)
      try destination.write(destination.format.isRecording ? report : shown.limited(to: limit), options: options)
    }
  }

  private func makeReport(
    _ tracer: AllocationTracer, _ own: TargetCommand?, limit: Int?, isRecorded: Bool
  ) -> Report {
    var request = plan.request
    request.limit = limit
    request.includesFreed = isRecorded
    request.includesEnded = own != nil
    // This takes seconds if the debug information of a large program has to be read.
    progress.show("naming call stacks")
    defer { progress.clear() }
    var report = tracer.report(request, checks: leakChecks?.latestResults ?? [])
    if let leakChecks, let leakCheck = plan.leakCheck {
      report.explanations = LeakExplainer(tracer: tracer, symbolizer: symbolizer).explanations(
        of: leakCheck.explainedAddresses, results: leakChecks.latestResults)
      leakChecks.addFirstBytes(to: &report)
      report.notes += leakChecks.notes
      hasGaps = leakChecks.hasGaps || MissingRecords(report).isSignificant
      hasFailingLeaks = report.leakChecks.contains { check in
        leakCheck.failingKinds.contains { check.kinds[$0]?.count ?? 0 > 0 }
          || leakCheck.failsOnGrowing && check.growing?.count ?? 0 > 0
      }
    }
    symbolizer.trim()
    report.memoryLimit = memoryLimit(of: tracer)
    report.notes += attacher?.notes ?? []
    let missing = symbolAdvice.missingSymbols(in: report)
    report.missingSymbols = missing.isEmpty ? nil : missing
    if own == nil {
      report.notes += StoppedTargets.notes(
        tracer.processes.filter { $0.isTarget && $0.state == .running }.map(\.processID))
    }
    if case .running(let selection) = plan.subject, let name = selection.name {
      report.target = Report.Target(kind: .system, command: name)
      report.target.programs = tracer.programs(in: report)
      return report
    }
    let target = tracer.processes.first { $0.isTarget }
    report.target = Report.Target(
      kind: own == nil ? .process : .command, processID: target?.processID,
      command: own?.arguments.joined(separator: " ") ?? target?.command,
      executable: target?.executable, exitStatus: own?.exitStatus)
    report.target.programs = tracer.programs(in: report)
    return report
  }

  /// The limit that the traced processes run into first; nil when all of them have ended.
  private func memoryLimit(of tracer: AllocationTracer) -> Report.MemoryLimit? {
    let running = tracer.processes.filter { $0.state == .running }.map(\.processID)
    guard !running.isEmpty, let limit = sampler.nearestLimit(of: running) else { return nil }
    return Report.MemoryLimit(leftInBytes: limit.left, name: limit.name)
  }

  /// Prints one line for each event: the time, the process and thread, and what happened.
  private func printEvent(_ event: AllocationEvent, _ tracer: AllocationTracer) {
    let descriptor = plan.destinations.contains { $0.isText && $0.path == nil } ? STDOUT_FILENO : STDERR_FILENO
    let micros = event.time / 1000
    let fraction = String(micros % 1_000_000)
    let time = "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    let address = "0x" + String(event.address, radix: 16)
    let text =
      event.isFree
      ? "\(time) \(event.processID)/\(event.threadID) \(event.function)(\(address)) \(event.sizeInBytes) bytes\n"
      : "\(time) \(event.processID)/\(event.threadID) \(event.function)(\(event.sizeInBytes)) = \(address)\n"
    if !writeAll(text, to: descriptor) { tracer.onEvent = nil }
  }
}
