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

/// What a watch works with: this host and its tracers, or the replacements that a test passes in.
package struct WatchEnvironment {
  /// The event loop. It handles the signals that end a watch or make it read its configuration again.
  package var loop: EventLoop
  package var host: any WatchedHost
  package var tracer: any WatchTracer
  /// What a hit of a probe costs on this host.
  package var costs: ProbeCosts
  package var log: Logger

  package init(loop: EventLoop, host: any WatchedHost, tracer: any WatchTracer, costs: ProbeCosts, log: Logger) {
    self.loop = loop
    self.host = host
    self.tracer = tracer
    self.costs = costs
    self.log = log
  }

  /// The environment for this host. It has to be made before there are other threads, because those must not get the
  /// signals. Throws where nothing can be traced.
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

/// The host as a watch sees it: see ``HostSampler``.
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

/// The means by which a watch looks into processes.
package protocol WatchTracer: AnyObject {
  /// Starts tracing a process.
  ///
  /// - Parameter sampleBytes: the mean number of bytes between two samples.
  func trace(processID: Int32, sampleBytes: UInt64) throws -> any SampledTrace
  /// Starts sampling the page faults of a process.
  func sampleFaults(
    of processID: Int32, command: String, length: Duration, faultsPerSecond: Double
  ) throws -> any FaultSampling
  /// The source that tells of the OOM killer's victims. Throws where the kernel does not tell of them.
  func watchVictims() throws -> any VictimSource
  /// Gives back memory that a trace no longer needs.
  func returnMemory()
  /// The watch is ending: what is being traced is kept, but nobody waits for all its names.
  func hurry()
}

extension WatchTracer {
  package func hurry() {}
}

/// A trace of one process, which exists from the moment at which its probes are attached.
package protocol SampledTrace: AnyObject {
  var pollDescriptors: [Int32] { get }
  /// Whether the process has ended.
  var hasEnded: Bool { get }
  func handleEvents()
  /// The probes, with the number of hits each has had so far.
  var probes: [Report.Probe] { get }
  /// Removes the probes and returns what was recorded. The report has no target yet.
  func finish() -> Report
  /// The path of the file that the process runs.
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

/// A source that tells of the OOM killer's victims: see ``OutOfMemoryWatch``.
package protocol VictimSource: AnyObject {
  var pollDescriptor: Int32 { get }
  func take() -> [OutOfMemoryWatch.Victim]
}

extension OutOfMemoryWatch: VictimSource {}
