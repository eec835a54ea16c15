import HostCapabilities
import Scheduling
import TraceModel

/// A sampled trace of one process, which the watch has started, and what it costs.
final class ArmedTrace {
  let processID: Int32
  /// The kernel's short name of the process. Metrics and the history use this name.
  let command: String
  let session: Int64
  let started: HostClock.Instant
  let end: HostClock.Instant
  /// Why the process is traced: `limit`, `oom`, `target`, `growth` or `profile`.
  let reason: String
  private let trace: any SampledTrace
  private(set) var hits: UInt64 = 0
  private(set) var probeSeconds = 0.0

  /// What the BPF programs cost at a hit, besides the probe itself. It is little, because in a sampled trace most hits
  /// return at once.
  private static let workInNanoseconds = 150.0

  init(
    _ trace: any SampledTrace, processID: Int32, command: String, session: Int64, reason: String,
    started: HostClock.Instant, length: Duration
  ) {
    self.trace = trace
    self.processID = processID
    self.command = command
    self.session = session
    self.reason = reason
    self.started = started
    end = started + length
  }

  var pollDescriptors: [Int32] { trace.pollDescriptors }

  var hasEnded: Bool { trace.hasEnded }

  func handleEvents() { trace.handleEvents() }

  /// The CPU time that the probes have cost since the last call, in seconds.
  func takeProbeSeconds(_ costs: ProbeCosts) -> Double {
    var all: UInt64 = 0
    var nanoseconds = 0.0
    for probe in trace.probes {
      all &+= probe.hits
      nanoseconds += Double(probe.hits) * ((probe.isEmulated ? costs.emulated : costs.stepped) + Self.workInNanoseconds)
    }
    hits = all
    defer { probeSeconds = nanoseconds / 1e9 }
    return max(0, nanoseconds / 1e9 - probeSeconds)
  }

  /// Removes the probes and returns what was recorded.
  func finish() -> Report {
    var report = trace.finish()
    report.target = Report.Target(
      kind: .process, processID: processID, command: command, executable: trace.executable)
    return report
  }
}
