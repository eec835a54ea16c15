import Accounting
import AllocationTracing
import Glibc
import HostCapabilities
import Session
import Symbolization
import TraceModel

/// A sampled trace of one process that a watch has armed, and what it costs.
final class ArmedTrace {
  let processID: Int32
  /// The kernel's short name, which metrics and the history know it by.
  let command: String
  let session: Int64
  let started: ContinuousClock.Instant
  let end: ContinuousClock.Instant
  /// `growth`, `target`, `profile`.
  let reason: String
  private let tracer: AllocationTracer
  private let symbolizer: Symbolizer
  private(set) var hits: UInt64 = 0
  private(set) var probeSeconds = 0.0

  /// What the programs do at a hit beside the probe's own cost: most hits of a trace that samples return at once.
  private static let workInNanoseconds = 150.0

  init(
    processID: Int32, command: String, session: Int64, reason: String, length: Duration, sampleBytes: UInt64
  ) throws {
    self.processID = processID
    self.command = command
    self.session = session
    self.reason = reason
    var configuration = TraceConfiguration()
    configuration.sampleMeanInBytes = sampleBytes
    // Sampled blocks are few.
    configuration.maximumAllocations = 65_536
    configuration.maximumSites = 2_000
    configuration.followsForks = false
    var discovery = AllocatorDiscovery.Options()
    discovery.emulation = .runningKernel
    var options = SymbolizerOptions()
    options.linesAndInlines = true
    let symbolizer = Symbolizer(options: options)
    let tracer = try AllocationTracer.make(
      configuration: configuration, discovery: discovery, symbolizer: symbolizer)
    do { try tracer.attach(processID: processID) } catch {
      tracer.stop()
      throw error
    }
    self.tracer = tracer
    self.symbolizer = symbolizer
    started = .now
    end = started + length
  }

  var pollDescriptors: [Int32] { tracer.pollDescriptors }

  var hasEnded: Bool { !tracer.hasRunningTargets }

  var seconds: Double { (ContinuousClock.now - started) / .seconds(1) }

  func handleEvents() { tracer.handleEvents() }

  /// CPU seconds that the probes cost since the last call.
  func takeProbeSeconds(_ costs: ProbeCosts) -> Double {
    var all: UInt64 = 0
    var nanoseconds = 0.0
    for probe in tracer.reportProbes() {
      all &+= probe.hits
      nanoseconds += Double(probe.hits) * ((probe.isEmulated ? costs.emulated : costs.stepped) + Self.workInNanoseconds)
    }
    hits = all
    defer { probeSeconds = nanoseconds / 1e9 }
    return max(0, nanoseconds / 1e9 - probeSeconds)
  }

  /// Takes the probes off and returns what was recorded.
  func finish() -> Report {
    tracer.handleEvents()
    var request = ReportRequest()
    request.includesEnded = true
    request.limit = 500
    var report = tracer.report(request)
    report.target = Report.Target(
      kind: .process, processID: processID, command: command, executable: tracer.processes.first?.executable)
    tracer.stop()
    return report
  }
}
