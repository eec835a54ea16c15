import KernelTracing
import PageFaults
import TestTools
import TraceModel
import WatchService

/// Traces that cost and find what a test says.
final class FakeTracer: WatchTracer {
  struct Refused: Error, CustomStringConvertible { var description: String { "it may not be looked at" } }

  let clock: FakeClock
  private(set) var traces: [FakeTrace] = []
  /// Times of all attempts, those that were refused included.
  private(set) var attempts: [(processID: Int32, time: Double)] = []
  private(set) var faultAttempts: [Int32] = []
  var refusesTraces = false
  /// Hits a second of every trace.
  var hitsPerSecond = 0.0
  /// CPU seconds that attaching takes.
  var costOfAttaching = 0.0
  let victims = FakeVictims()
  private(set) var returns = 0

  init(clock: FakeClock) { self.clock = clock }

  func trace(processID: Int32, sampleBytes: UInt64) throws -> any SampledTrace {
    attempts.append((processID, clock.elapsed))
    if refusesTraces { throw Refused() }
    clock.processSeconds += costOfAttaching
    traces.append(FakeTrace(processID, sampleBytes, clock: clock, hitsPerSecond: hitsPerSecond))
    return traces[traces.count - 1]
  }

  func sampleFaults(
    of processID: Int32, command: String, length: Duration, faultsPerSecond: Double
  ) throws -> any FaultSampling {
    faultAttempts.append(processID)
    throw Refused()
  }

  func watchVictims() throws -> any VictimSource { victims }
  func returnMemory() { returns += 1 }
}

final class FakeTrace: SampledTrace {
  let processID: Int32
  let sampleBytes: UInt64
  let started: Double
  private(set) var ended: Double?
  var hasEnded = false
  private let clock: FakeClock
  private let hitsPerSecond: Double

  init(_ processID: Int32, _ sampleBytes: UInt64, clock: FakeClock, hitsPerSecond: Double) {
    self.processID = processID
    self.sampleBytes = sampleBytes
    self.clock = clock
    self.hitsPerSecond = hitsPerSecond
    started = clock.elapsed
  }

  /// Seconds; nil while it goes on.
  var length: Double? { ended.map { $0 - started } }
  var pollDescriptors: [Int32] { [] }
  func handleEvents() {}
  var executable: String? { "/bin/program" }

  var probes: [Report.Probe] {
    let hits = UInt64((clock.elapsed - started) * hitsPerSecond)
    return [
      Report.Probe(
        function: "malloc", object: "libc.so.6", offset: 0, instruction: "push", isEmulated: true, kind: .multi,
        hits: hits)
    ]
  }

  func finish() -> Report {
    ended = clock.elapsed
    return Report(
      target: Report.Target(kind: .process),
      window: Report.Window(startInUnixSeconds: clock.unixSeconds, duration: .seconds(clock.elapsed - started)),
      probes: probes)
  }
}

final class FakeVictims: VictimSource {
  private var waiting: [OutOfMemoryWatch.Victim] = []
  var pollDescriptor: Int32 { -1 }

  func tell(_ processID: Int32, _ command: String) {
    waiting.append(OutOfMemoryWatch.Victim(processID: processID, command: command, time: 0))
  }

  func take() -> [OutOfMemoryWatch.Victim] {
    defer { waiting = [] }
    return waiting
  }
}
