import AllocationTracing
import BPFRuntime
import CProcessControl
import Glibc
import HostObservation
import KernelStatistics
import KernelTracing
import Quantities
import ReportAnalysis
import ReportFormats
import Scheduling
import SystemSupport
import TraceModel

/// Carries out one `leaktrace kernel`: attaches, reports on schedule, and cleans up however it ends.
package final class KernelRunner {
  private let plan: KernelPlan
  private let loop: EventLoop
  private let sampler = HostSampler()
  private var live: LiveTerminal?

  package init(_ plan: KernelPlan) {
    self.plan = plan
    loop = EventLoop(isLive: plan.isLive)
  }

  /// Returns the exit code.
  package func run() throws -> Int32 {
    for destination in plan.destinations { try destination.open() }
    for processID in plan.trace.processIDs where kill(processID, 0) != 0 && errno == ESRCH {
      throw Refusal("-p \(processID): there is no such process")
    }
    if plan.isLive, LiveTerminal.isPossible {
      LiveTerminal.prepare()
      live = LiveTerminal()
      // The guardian gives the terminal back, whatever happens to leaktrace.
      _ = cprocess_start_guardian()
    }
    let tracer: KernelTracer
    do { tracer = try KernelTracer(configuration: plan.trace) } catch let error as BPFError {
      throw Refusal(explain(error))
    }
    defer { tracer.stop() }
    defer { live?.close() }
    if plan.printsEvents { tracer.onEvent = { [unowned self, unowned tracer] in printEvent($0, tracer) } }
    if isatty(STDERR_FILENO) == 1 || plan.isVerbose {
      writeAll("leaktrace: tracing the kernel; Ctrl-C to end\n", to: STDERR_FILENO)
    }
    return try follow(tracer)
  }

  private func follow(_ tracer: KernelTracer) throws -> Int32 {
    live?.open()
    loop.longestWait = .milliseconds(500)
    let untilTick = { Duration.nanoseconds(Int64(clamping: tracer.nextTick) - Int64(clamping: monotonicNanoseconds())) }
    loop.onTurn(
      watching: { [tracer.pollDescriptor].compactMap { $0 } },
      until: { [clock = loop.clock] in clock.now + max(.zero, untilTick()) },
      take: { tracer.handleEvents() })
    let finish = { [unowned self] (signal: Int32) in
      try write(tracer, isLast: true)
      loop.end(signal == 0 ? 0 : Failure.ended(by: signal))
    }
    loop.onUser(live, finish: finish)
    loop.onTurn { tracer.tick() }
    plan.schedule.start(
      on: loop, report: { [unowned self] in try write(tracer, isLast: false) }, finish: { try finish(0) })
    return try loop.run()
  }

  private func write(_ tracer: KernelTracer, isLast: Bool) throws {
    let destinations = plan.destinations.filter { isLast || live == nil || $0.path != nil }
    // All destinations are written from one snapshot, so that their numbers agree.
    var limits = destinations.map { $0.format.sites(top: plan.top) }
    if live != nil { limits.append(LiveTerminal.mostSites) }
    var request = plan.request
    request.limit = ReportLimit.largest(of: limits)
    request.includesFreed = destinations.contains { $0.format.isRecording }
    var report = tracer.report(request)
    if let limit = sampler.nearestLimit(of: EmptyCollection<Int32>()) {
      report.memoryLimit = Report.MemoryLimit(leftInBytes: limit.left, name: limit.name)
    }
    func limited(to limit: Int?) -> Report {
      // Sites that are known only from /proc are sorted after all others. The limit would cut them off, so it does not
      // apply to them.
      report.limited(to: limit) { tracer.polledClasses.contains($0.allocationClass) }
    }
    if let live {
      live.show(limited(to: LiveTerminal.mostSites))
      // The live view is closed before the last report is printed, so that this report remains on the terminal.
      if isLast { live.close() }
    }
    for destination in destinations {
      var options = ReportOptions()
      options.text.showAllocations = plan.showsBlocks
      options.text.showProbes = plan.isVerbose
      options.text.top = plan.top ?? destination.format.usualSites
      options.text.subject = ""
      options.text.isShort = live != nil
      plan.display.apply(to: &options.text, isStandardOutput: destination.path == nil)
      try destination.write(limited(to: destination.format.sites(top: plan.top)), options: options)
    }
  }

  private func explain(_ error: BPFError) -> String {
    if error.code == EPERM || error.code == EACCES, geteuid() != 0 {
      return "tracing the kernel needs root: run it with sudo (or grant CAP_BPF and CAP_PERFMON)"
    }
    if error.code == EPERM {
      return "the kernel refuses BPF programs although this is root (a container, or kernel lockdown?): \(error)"
    }
    return "\(error)"
  }

  /// Prints one line for each event: the time, the process and thread, and what happened.
  private func printEvent(_ event: KernelEvent, _ tracer: KernelTracer) {
    let descriptor = plan.destinations.contains { $0.isText && $0.path == nil } ? STDOUT_FILENO : STDERR_FILENO
    let micros = event.time / 1000
    let fraction = String(micros % 1_000_000)
    let time = "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    let address = "0x" + String(event.address, radix: 16)
    let caller = event.caller.map { " \(event.isFree ? "allocated by" : "by") \($0)" } ?? ""
    let what =
      event.isFree
      ? "free(\(address)) of \(event.allocator), \(event.sizeInBytes) bytes"
      : "\(event.allocator)(\(event.sizeInBytes)) = \(address)"
    if !writeAll("\(time) \(event.processID)/\(event.threadID) \(what)\(caller)\n", to: descriptor) {
      tracer.onEvent = nil
    }
  }

  // MARK: Without a trace

  /// Prints where the memory of the host is: either as text for people, or as a report that contains nothing else.
  package static func printWhere(in destinations: [ReportDestination], top: Int?) throws {
    guard let summary = KernelMemory.current().summary(limit: top ?? 10) else {
      throw Refusal("/proc/meminfo cannot be read")
    }
    var report = Report(
      target: Report.Target(kind: .kernel),
      window: Report.Window(startInUnixSeconds: SystemClock().unixSeconds, duration: .zero))
    report.kernelMemory = summary
    for destination in destinations {
      try destination.open()
      if destination.isText {
        try destination.write(Array(TextReport.whereMemoryIs(report).utf8))
      } else {
        try destination.write(report, options: ReportOptions())
      }
    }
  }
}
