import Accounting
import AllocationTracing
import CProcessControl
import Glibc
import ProcessImage
import Quantities
import ReportAnalysis
import Scheduling
import Symbolization
import SystemSupport
import TraceModel

/// Traces a running process while rounds of load are put on it, and tells which memory does not come back after a
/// round.
package final class LiveVerifier {
  package struct Plan {
    package var processIDs: [Int32]
    package var load: String
    package var rounds: Int
    package var warmUps: Int
    /// How long to wait after each round, because some memory is freed a little later.
    package var settling: Duration

    package init(processIDs: [Int32], load: String, rounds: Int, warmUps: Int, settling: Duration) {
      self.processIDs = processIDs
      self.load = load
      self.rounds = rounds
      self.warmUps = warmUps
      self.settling = settling
    }
  }

  private let plan: Plan
  private let symbolizer: Symbolizer
  private let loop = EventLoop(isLive: false)
  private let tracer: AllocationTracer
  private var progress = ProgressLine()
  /// The signal that asked for an early end, or 0 if there was none.
  package private(set) var signal: Int32 = 0

  package init(_ plan: Plan) throws {
    self.plan = plan
    var options = SymbolizerOptions()
    options.worker = WorkerLimits()
    symbolizer = Symbolizer(options: options)
    _ = cprocess_start_guardian()
    loop.startHearing()
    var configuration = TraceConfiguration()
    configuration.looksAtRetention = true
    var discovery = AllocatorDiscovery.Options()
    discovery.emulation = .runningKernel
    tracer = try AllocationTracer.make(configuration: configuration, discovery: discovery, symbolizer: symbolizer)
    prepareLoop()
  }

  /// Runs the rounds and compares them. There are fewer rounds than asked for when a signal came.
  package func run(_ analysis: RoundsAnalysis) throws -> Comparison {
    defer { tracer.stop() }
    defer { progress.clear() }
    for processID in plan.processIDs { try tracer.attach(processID: processID) }
    for round in 0..<plan.warmUps { try run(round: round, of: plan.warmUps, "warm-up") }
    var reports = [report()]
    var resident = [residentBytes()]
    for round in 0..<plan.rounds where signal == 0 {
      try run(round: round, of: plan.rounds, "round")
      guard signal == 0 else { break }
      reports.append(report())
      resident.append(residentBytes())
    }
    guard reports.count > RoundsAnalysis.minimumRounds else {
      throw Refusal(
        "interrupted after \(counted(reports.count - 1, "round")): at least \(RoundsAnalysis.minimumRounds) are needed to see a trend"
      )
    }
    var comparison = analysis.analyze(reports)
    let kibibytes = resident.map { groupedNumber($0 >> 10) }.joined(separator: ", ")
    comparison.notes.append("resident memory after the warm-up and each round: \(kibibytes) KiB")
    let last = reports[reports.count - 1]
    comparison.notes += last.notes
    for counter in last.loss where counter.value > 0 {
      comparison.notes.append("lost: \(groupedNumber(counter.value)) \(counter.description)")
    }
    if let unexplained = Headline.unexplained(last) { comparison.doubts.append("the process " + unexplained) }
    for counter in last.missingRecords {
      comparison.refusals.append(
        "the trace is incomplete: \(groupedNumber(counter.value)) \(counter.description) (\(counter.name))")
    }
    return comparison
  }

  private func run(round: Int, of count: Int, _ name: String) throws {
    guard signal == 0 else { return }
    // The progress line is cleared first, because the load may print lines of its own.
    progress.clear()
    progress.show("\(name) \(round + 1) of \(count); Ctrl-C to end now ")
    let load: ShellCommand
    do { load = try ShellCommand(plan.load, hasOwnGroup: true) } catch { throw Refusal("--load: \(error)") }
    while load.ending == nil {
      if try loop.run(until: loop.clock.now + Self.longestWait) != nil { return }
    }
    if let ending = load.ending, !ending.isSuccess {
      throw Refusal("the load command ended with \(ending) in \(name) \(round + 1) of \(count)")
    }
    _ = try loop.run(until: loop.clock.now + plan.settling)
  }

  private static let longestWait = Duration.milliseconds(20)

  private func prepareLoop() {
    loop.longestWait = Self.longestWait
    loop.onTurn(
      watching: { [tracer] in tracer.pollDescriptors },
      take: { [tracer] in
        tracer.handleEvents()
        guard tracer.hasRunningTargets else {
          throw Refusal("the traced process has ended: there is nothing to compare")
        }
      })
    loop.onUser(nil) { [unowned self] in
      signal = $0
      loop.end()
    }
  }

  private func report() -> Report {
    var request = ReportRequest()
    request.combinedOnly = true
    return tracer.report(request)
  }

  private func residentBytes() -> UInt64 {
    tracer.processes.filter { $0.state == .running }.reduce(0) { sum, process in
      sum + (ProcessInfo.residentBytes(of: process.processID) ?? 0)
    }
  }
}
