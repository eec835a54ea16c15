import Accounting
import AllocationTracing
import KernelTracing
import PageFaults
import Session
import Symbolization
import SystemSupport
import TraceModel

/// Looks into processes of this host, by probes and by sampling page faults.
final class ProbingWatchTracer: WatchTracer {
  func trace(processID: Int32, sampleBytes: UInt64) throws -> any SampledTrace {
    var configuration = TraceConfiguration()
    configuration.sampleMeanInBytes = sampleBytes
    // A sampled trace records few blocks, so these limits are enough and save memory.
    configuration.maximumAllocations = 65_536
    configuration.maximumSites = 2_000
    configuration.followsForks = false
    configuration.countsEnded = true
    var discovery = AllocatorDiscovery.Options()
    discovery.emulation = .runningKernel
    var options = SymbolizerOptions()
    options.linesAndInlines = true
    options.worker = .service
    let tracer = try AllocationTracer.make(
      configuration: configuration, discovery: discovery, symbolizer: Symbolizer(options: options))
    do { try tracer.attach(processID: processID) } catch {
      tracer.stop()
      throw error
    }
    return ProbingTrace(tracer)
  }

  func sampleFaults(
    of processID: Int32, command: String, length: Duration, faultsPerSecond: Double
  ) throws -> any FaultSampling {
    try PageFaultSession(
      processID: processID, command: command, length: length, faultsPerSecond: faultsPerSecond, worker: .service)
  }

  func watchVictims() throws -> any VictimSource { try OutOfMemoryWatch() }

  func hurry() { Interruption.raise(afterSeconds: 0.5) }

  func returnMemory() { Symbolizer.returnFreedMemory() }
}

/// One trace by probes. The symbolizer lives as long as the tracer, which holds it.
private final class ProbingTrace: SampledTrace {
  private let tracer: AllocationTracer

  init(_ tracer: AllocationTracer) { self.tracer = tracer }

  var pollDescriptors: [Int32] { tracer.pollDescriptors }
  var hasEnded: Bool { !tracer.hasRunningTargets }
  func handleEvents() { tracer.handleEvents() }
  var probes: [Report.Probe] { tracer.reportProbes() }
  var executable: String? { tracer.processes.first?.executable }

  func finish() -> Report {
    tracer.handleEvents()
    var request = ReportRequest()
    request.includesEnded = true
    request.includesFreed = true
    let report = tracer.report(request)
    tracer.stop()
    return report
  }
}
