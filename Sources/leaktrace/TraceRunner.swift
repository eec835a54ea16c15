import AllocationTracing
import BPFRuntime
import CProcessControl
import Glibc
import LeakAnalysis
import ProcessControl
import ProcessImage
import ReportFormats
import Symbolization
import TraceModel

/// Carries out one `leaktrace trace`: attaches, reports on schedule, and ends in an orderly way whatever happens.
final class TraceRunner {
  private let command: TraceCommand
  private let destinations: [ReportDestination]
  private let request: ReportRequest
  private let schedule: Schedule
  private let symbolizer: Symbolizer
  private let signals: Int32
  private var live: LiveTerminal?
  private var progress: ProgressLine
  /// nil when a command is run.
  private var attacher: TargetAttacher?
  /// nil when no leak check was asked for.
  private var leakChecks: LeakCheckRun?

  private struct Schedule {
    /// nil: one report, at the end.
    var interval: Duration?
    var count: Int?
    var duration: Duration?
  }

  init(command: TraceCommand) throws {
    self.command = command
    destinations = try command.destinations()
    request = try command.request()
    let runsCommand = command.commandLine != nil || !command.command.isEmpty
    var interval = try command.interval.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    let duration = try command.duration.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    if interval == nil, !runsCommand, duration == nil { interval = .seconds(5) }
    schedule = Schedule(interval: interval, count: command.count, duration: duration)
    var options = SymbolizerOptions()
    options.linesAndInlines = true
    symbolizer = Symbolizer(options: options)
    progress = ProgressLine(isAllowed: !command.isLive)
    let handled: [Int32] = [SIGINT, SIGTERM, SIGHUP] + (command.isLive ? [SIGWINCH] : [])
    signals = cprocess_signal_descriptor(handled, Int32(handled.count))
  }

  /// The exit code.
  func run() throws -> Int32 {
    for destination in destinations { try destination.open() }
    if command.isLive, LiveTerminal.isPossible {
      LiveTerminal.prepare()
      live = LiveTerminal()
    }
    // Without it a kill -9 can leave breakpoints behind; everything else works.
    _ = cprocess_start_guardian()
    let runsCommand = command.commandLine != nil || !command.command.isEmpty
    let processIDs = runsCommand ? [] : try command.selection.find()
    let tracer = try AllocationTracer.make(
      configuration: command.configuration(), discovery: command.discovery(), symbolizer: symbolizer)
    defer { tracer.stop() }
    defer { live?.close() }
    if command.printsEvents { tracer.onEvent = { [unowned self] in printEvent($0, tracer) } }

    var own: TargetCommand?
    if runsCommand {
      let arguments = try command.commandLine.map { try TargetCommand.split($0) } ?? command.command
      let watch = command.leakCheck.mode == nil ? nil : ExitWatch(thread: TracerThread())
      try prepareLeakChecks(tracer, watch)
      let started = try TargetCommand(arguments: arguments, exitWatch: watch)
      own = started
      try started.start(with: tracer)
    } else {
      try prepareLeakChecks(tracer, nil)
      let attacher = TargetAttacher(selection: command.selection, tracer: tracer)
      defer { progress.clear() }
      try attacher.attach(processIDs, progress: &progress)
      self.attacher = attacher
      progress.clear()
      announce(tracer)
    }
    return try follow(tracer, own)
  }

  private func prepareLeakChecks(_ tracer: AllocationTracer, _ watch: ExitWatch?) throws {
    guard command.leakCheck.mode != nil else { return }
    leakChecks = LeakCheckRun(
      settings: try command.leakCheckSettings(), tracer: tracer, watch: watch, dumpBytes: command.leakCheck.hexdumpBytes
    )
    guard let watch else { return }
    // A child is held while it is attached to, and so cannot get away.
    tracer.onNewImage = { process in watch.watch(process.processID) }
  }

  private func announce(_ tracer: AllocationTracer) {
    guard isatty(STDERR_FILENO) == 1 || command.verbose else { return }
    let targets = tracer.processes.filter(\.isTarget)
    let names =
      targets.count > 10
      ? "\(targets.count) processes" : targets.map { String($0.processID) }.joined(separator: ", ")
    writeAll(
      "leaktrace: attached to \(names), \(tracer.probes.count) functions probed; Ctrl-C to end\n",
      to: STDERR_FILENO)
  }

  /// Whether the last report has leaks of the kinds that make leaktrace fail.
  private var hasFailingLeaks = false

  private var exitCode: Int32 { hasFailingLeaks ? 1 : 0 }

  // MARK: The loop

  private func follow(_ tracer: AllocationTracer, _ own: TargetCommand?) throws -> Int32 {
    live?.open()
    let start = ContinuousClock.now
    var nextReport = schedule.interval.map { start + $0 }
    let end = schedule.duration.map { start + $0 }
    var reports = 0
    while true {
      let now = ContinuousClock.now
      var wait = Duration.milliseconds(100)
      for moment in [nextReport, end] {
        if let moment { wait = min(wait, max(.zero, moment - now)) }
      }
      pollEvents(tracer, wait: wait)
      tracer.handleEvents()
      attacher?.attachNew()
      leakChecks?.checkHeld()
      own?.reap()

      if live?.handleKeys() == true {
        try write(tracer, own, isLast: true)
        return exitCode
      }
      let signal = cprocess_next_signal(signals)
      if signal == SIGWINCH {
        live?.draw()
      } else if signal != 0 {
        try write(tracer, own, isLast: true)
        return signal == SIGINT ? Failure.interrupted : 128 + signal
      }
      if !tracer.hasRunningTargets || own?.exitStatus != nil {
        own?.reap(waits: true)
        tracer.handleEvents()
        try write(tracer, own, isLast: true)
        return exitCode
      }
      let later = ContinuousClock.now
      if let end, later >= end {
        try write(tracer, own, isLast: true)
        return exitCode
      }
      if let due = nextReport, later >= due {
        reports += 1
        let isLast = reports == schedule.count
        try write(tracer, own, isLast: isLast)
        if isLast { return exitCode }
        // The schedule does not slip by the time a report takes; a report missed altogether is left out.
        var next = due + schedule.interval!
        while next <= ContinuousClock.now { next += schedule.interval! }
        nextReport = next
      }
    }
  }

  private func pollEvents(_ tracer: AllocationTracer, wait: Duration) {
    let exits = leakChecks?.watch.map { [$0.descriptor] } ?? []
    var descriptors = (tracer.pollDescriptors + exits + [signals] + (live == nil ? [] : [STDIN_FILENO])).map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: (wait.inNanoseconds + 999_999) / 1_000_000))
  }

  // MARK: Reports

  private func write(_ tracer: AllocationTracer, _ own: TargetCommand?, isLast: Bool) throws {
    if leakChecks != nil { progress.show("looking for leaks") }
    defer { progress.clear() }
    leakChecks?.checkRunning()
    var bySize: [Int?: Report] = [:]
    if let live {
      let report = makeReport(tracer, own, limit: 1000)
      live.show(report)
      // The last report stays behind on the terminal.
      if isLast { live.close() }
    }
    if let hook = command.onReport {
      let report = makeReport(tracer, own, limit: command.top)
      bySize[command.top] = report
      try ReportHook.run(hook, report)
    }
    for destination in destinations where isLast || live == nil || destination.path != nil {
      // Text shows the largest; machine formats carry every site unless told otherwise.
      let limit = command.top ?? (destination.isText ? 10 : nil)
      let report = bySize[limit] ?? makeReport(tracer, own, limit: limit)
      bySize[limit] = report
      var options = ReportOptions()
      options.text.showAllocations = command.showsBlocks
      options.text.showProbes = command.verbose
      options.text.showSites = command.leakCheck.mode != .summary
      options.text.suppressionEntry = suppressionWriter
      options.text.fullNames = command.fullNames
      options.text.shortenFunctionName = FunctionNameShortener().shorten
      try destination.write(report, options: options)
    }
  }

  private func makeReport(_ tracer: AllocationTracer, _ own: TargetCommand?, limit: Int?) -> Report {
    var request = request
    request.limit = limit
    request.includesEnded = own != nil
    // Seconds, where the debug information of large programs has to be read.
    progress.show("naming call stacks")
    defer { progress.clear() }
    var report = tracer.report(request, checks: leakChecks?.latestResults ?? [])
    if let leakChecks {
      report.explanations = LeakExplainer(tracer: tracer, symbolizer: symbolizer).explanations(
        of: command.leakCheck.explainedAddresses, results: leakChecks.latestResults)
      leakChecks.addFirstBytes(to: &report)
      report.notes += leakChecks.notes
      hasFailingLeaks = report.leakChecks.contains { check in
        command.leakCheck.failingKinds.contains { check.kinds[$0]?.count ?? 0 > 0 }
      }
    }
    symbolizer.trim()
    report.notes += attacher?.notes ?? []
    if own == nil, let name = command.selection.name {
      report.target = Report.Target(kind: .system, command: name)
      return report
    }
    let target = tracer.processes.first { $0.isTarget }
    report.target = Report.Target(
      kind: own == nil ? .process : .command, processID: target?.processID,
      command: own?.arguments.joined(separator: " ") ?? target?.command,
      executable: target?.executable, exitStatus: own?.exitStatus)
    return report
  }

  /// What --gen-suppressions prints for a site.
  private var suppressionWriter: (@Sendable (AllocationSite) -> String)? {
    let kinds = command.leakCheck.shownKinds
    return switch command.leakCheck.genSuppressions {
    case .valgrind: { SuppressionWriter.valgrind($0, kinds: kinds) }
    case .lsan: { SuppressionWriter.lsan($0) }
    case nil: nil
    }
  }

  /// One line per event: time, process/thread, what happened.
  private func printEvent(_ event: AllocationEvent, _ tracer: AllocationTracer) {
    let descriptor = destinations.contains { $0.isText && $0.path == nil } ? STDOUT_FILENO : STDERR_FILENO
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
