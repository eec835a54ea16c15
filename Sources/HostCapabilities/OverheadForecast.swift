import Accounting
import AllocationTracing
import Glibc
import Scheduling
import SystemSupport
import TraceModel

/// What a trace would cost a process, estimated from how often the process calls its allocator.
package struct OverheadForecast: Hashable, Sendable {
  /// How often all probes together are hit, per second.
  package var hitsPerSecond: Double
  /// The CPU time that the process itself used during the measurement, as a number of CPUs.
  package var ownCPUs: Double
  package var secondsMeasured: Double
  /// The number of CPUs that a trace adds: one that records everything, and one that samples.
  package var fullCPUs: Double
  package var sampledCPUs: Double
  package var processID: Int32

  /// What the BPF programs cost at a hit, besides the probe itself, as measured by `Scripts/bench overhead`: a pair of
  /// 2 hits costs 2,500 ns when everything is recorded and 1,500 ns when sampled, and about 1,200 ns of that are the
  /// session probes themselves.
  private static let fullWorkInNanoseconds = 650.0
  private static let sampledWorkInNanoseconds = 150.0

  package init(
    processID: Int32, hitsPerSecond: Double, ownCPUs: Double, secondsMeasured: Double, costs: ProbeCosts,
    steppedShare: Double
  ) {
    self.processID = processID
    self.hitsPerSecond = hitsPerSecond
    self.ownCPUs = ownCPUs
    self.secondsMeasured = secondsMeasured
    let probe = costs.emulated * (1 - steppedShare) + costs.stepped * steppedShare
    fullCPUs = hitsPerSecond * (probe + Self.fullWorkInNanoseconds) / 1e9
    sampledCPUs = hitsPerSecond * (probe + Self.sampledWorkInNanoseconds) / 1e9
  }

  /// Traces the process for a second, recording next to nothing, and counts the hits. This costs the process as much as
  /// a sampled trace.
  package static func measure(processID: Int32, costs: ProbeCosts) throws -> OverheadForecast {
    var configuration = TraceConfiguration()
    configuration.sampleMeanInBytes = 1 << 26
    configuration.maximumAllocations = 4096
    configuration.maximumSites = 256
    configuration.followsForks = false
    var options = AllocatorDiscovery.Options()
    options.emulation = .runningKernel
    let tracer = try AllocationTracer(configuration: configuration, discovery: options)
    defer { tracer.stop() }
    try tracer.attach(processID: processID)
    func hits() -> (all: UInt64, stepped: UInt64) {
      let probes = tracer.report(ReportRequest(), checks: []).probes
      return (
        probes.reduce(0) { $0 &+ $1.hits }, probes.filter { !$0.isEmulated }.reduce(0) { $0 &+ $1.hits }
      )
    }
    let start = ContinuousClock.now
    let before = hits()
    let cpuBefore = cpuSeconds(ofProcess: processID) ?? 0
    let loop = EventLoop()
    loop.longestWait = .milliseconds(50)
    loop.onTurn(watching: { tracer.pollDescriptors }, take: { tracer.handleEvents() })
    _ = try loop.run(until: start + .seconds(1))
    let after = hits()
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let all = Double(after.all - before.all)
    return OverheadForecast(
      processID: processID, hitsPerSecond: all / seconds,
      ownCPUs: max(0, (cpuSeconds(ofProcess: processID) ?? 0) - cpuBefore) / seconds, secondsMeasured: seconds,
      costs: costs,
      steppedShare: all > 0 ? Double(after.stepped - before.stepped) / all : 0)
  }
}
