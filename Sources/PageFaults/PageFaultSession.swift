import ProcessImage
import Symbolization
import TraceModel

/// Where in a program its memory grows: the page faults of one process for a while, by call stack. It tells which code touches
/// pages for the first time, not which blocks are lost.
package final class PageFaultSession {
  package let processID: Int32
  package let command: String
  package let started: ContinuousClock.Instant
  package let end: ContinuousClock.Instant
  private let sampler: PageFaultSampler
  private let stacks: FaultStacks
  private let symbolizer: Symbolizer
  /// Faults by stack.
  private var faults: [StackTrace: UInt64] = [:]
  /// Samples so far, and those of pages of files, which are left out.
  package private(set) var samples = 0
  package private(set) var samplesInFiles = 0
  /// Samples that found no room or whose stack was one too many.
  package var lost: UInt64 { sampler.lost &+ leftOut }
  private var leftOut: UInt64 = 0

  /// The session ends after this many samples: more of them tell little.
  private static let mostSamples = 400
  private static let mostStacks = 300
  private static let pageBytes: UInt64 = 4096

  /// The number of samples that is aimed at; twice as many end the session.
  private static let wishedSamples = 200.0

  /// - Parameter faultsPerSecond: what the process had of late, from which follows how many faults a sample stands for.
  /// - Parameter worker: the limits of the process that reads the files which are named; nil: this process reads them.
  package init(
    processID: Int32, command: String, length: Duration, faultsPerSecond: Double, worker: WorkerLimits? = nil
  ) throws {
    self.processID = processID
    self.command = command
    stacks = try FaultStacks(processID: processID)
    var options = SymbolizerOptions()
    options.worker = worker
    let symbolizer = Symbolizer(options: options)
    symbolizer.record(processID: processID, generation: 0, snapshot: stacks.snapshot)
    self.symbolizer = symbolizer
    let period = faultsPerSecond * (length / .seconds(1)) / Self.wishedSamples
    sampler = try PageFaultSampler(processID: processID, period: UInt64(max(1, min(period, 1e6))))
    started = .now
    end = started + length
  }

  package var pollDescriptors: [Int32] { sampler.pollDescriptors }
  package var isOver: Bool { samples >= Self.mostSamples || ContinuousClock.now >= end }

  /// Takes the samples that wait.
  package func handleEvents() {
    sampler.take { fault in
      samples += 1
      guard !stacks.isInFile(fault.address) else {
        samplesInFiles += 1
        return
      }
      let stack = stacks.stack(of: fault)
      if faults[stack] == nil, faults.count >= Self.mostStacks {
        leftOut += 1
        return
      }
      faults[stack, default: 0] &+= fault.weight
    }
  }

  /// CPU seconds that the kernel spent for the samples in the name of the process, about: each copies its stack.
  package var costSeconds: Double { Double(samples) * 10e-6 }

  /// One call stack and the bytes it touched for the first time, a page for each fault.
  package struct Site: Sendable {
    package var bytes: UInt64
    package var frames: [Frame]
    package var completeness: StackTrace.Completeness
  }

  /// What was touched, the most first. Stacks of the same functions are one.
  package func finish() -> [Site] {
    handleEvents()
    var sites: [[String]: Site] = [:]
    for (stack, count) in faults {
      let frames = symbolizer.frames(for: stack, processID: processID, generation: 0, leafIsExact: true)
      let key = frames.map { $0.function ?? "\($0.module ?? "?")+\($0.moduleOffset ?? $0.address)" }
      let bytes = count &* Self.pageBytes
      if sites[key] == nil {
        sites[key] = Site(bytes: bytes, frames: frames, completeness: stack.completeness)
      } else {
        sites[key]?.bytes &+= bytes
      }
    }
    return sites.values.sorted { $0.bytes > $1.bytes }
  }
}
