import AllocationTracing
import CProcessControl
import Glibc
import HostCapabilities
import HostObservation
import KernelTracing
import Logging
import PageFaults
import Scheduling
import Session
import SystemSupport
import TraceModel

/// What a watch works with: this host and its tracers, or what a test puts in their place.
package struct WatchEnvironment {
  /// With the signals that a watch obeys.
  package var loop: EventLoop
  package var host: any WatchedHost
  package var tracer: any WatchTracer
  /// What a probe's hit costs here.
  package var costs: ProbeCosts
  package var log: Logger

  package init(loop: EventLoop, host: any WatchedHost, tracer: any WatchTracer, costs: ProbeCosts, log: Logger) {
    self.loop = loop
    self.host = host
    self.tracer = tracer
    self.costs = costs
    self.log = log
  }

  /// This host. Call it before there are threads: they must not get the signals. Throws where nothing can be traced.
  package static func running() throws(Refusal) -> WatchEnvironment {
    let loop = EventLoop(signals: [SIGINT, SIGTERM, SIGHUP])
    signal(SIGPIPE, SIG_IGN)
    _ = cprocess_start_guardian()
    guard let costs = ProbeCosts.measure() else {
      throw Refusal("no probe can be attached here: see `leaktrace doctor`")
    }
    return WatchEnvironment(
      loop: loop, host: HostSampler(), tracer: ProbingWatchTracer(), costs: costs,
      log: Logger(label: "leaktrace", factory: { _ in WatchLog() }))
  }
}

/// The host as a watch looks at it: see ``HostSampler``.
package protocol WatchedHost: AnyObject {
  func sample() -> HostSample
  func process(_ processID: Int32) -> ProcessMemory?
  func mappingClasses(of processID: Int32) -> MappingClasses?
  func cgroup(of processID: Int32) -> String?
  func memoryLimit(of processID: Int32) -> UInt64?
  func isGone(_ processID: Int32) -> Bool
}

extension HostSampler: WatchedHost {
  package func isGone(_ processID: Int32) -> Bool { kill(processID, 0) != 0 && errno == ESRCH }
}

/// What looks into processes for a watch.
package protocol WatchTracer: AnyObject {
  /// Begins to trace a process.
  ///
  /// - Parameter sampleBytes: mean number of bytes between samples.
  func trace(processID: Int32, sampleBytes: UInt64) throws -> any SampledTrace
  /// Begins to sample the page faults of a process.
  func sampleFaults(
    of processID: Int32, command: String, length: Duration, faultsPerSecond: Double
  ) throws -> any FaultSampling
  /// Throws where the kernel does not tell of the OOM killer's victims.
  func watchVictims() throws -> any VictimSource
  /// Gives memory back that a trace has left behind.
  func returnMemory()
}

/// A trace of one process, from when its probes are on.
package protocol SampledTrace: AnyObject {
  var pollDescriptors: [Int32] { get }
  /// Whether the process has ended.
  var hasEnded: Bool { get }
  func handleEvents()
  /// The probes with their hits so far.
  var probes: [Report.Probe] { get }
  /// Takes the probes off and returns what was recorded, without a target.
  func finish() -> Report
  /// The file that the process runs.
  var executable: String? { get }
}

/// The page faults of one process: see ``PageFaultSession``.
package protocol FaultSampling: AnyObject {
  var processID: Int32 { get }
  var command: String { get }
  var started: HostClock.Instant { get }
  var end: HostClock.Instant { get }
  var pollDescriptors: [Int32] { get }
  var isOver: Bool { get }
  var samples: Int { get }
  var lost: UInt64 { get }
  var costSeconds: Double { get }
  func handleEvents()
  func finish() -> [PageFaultSession.Site]
}

extension PageFaultSession: FaultSampling {}

/// Where the OOM killer's victims are told of: see ``OutOfMemoryWatch``.
package protocol VictimSource: AnyObject {
  var pollDescriptor: Int32 { get }
  func take() -> [OutOfMemoryWatch.Victim]
}

extension OutOfMemoryWatch: VictimSource {}
