import CTraceABI
import Glibc
import ProcessImage
import Symbolization
import TraceModel
import UnwindHarness

/// Names the frames of the stacks of a running program as a report does, from nothing: no symbol has been read before.
func measureSymbolization(_ options: Options) throws {
  var options = options
  options.configuration.sample_period = 10
  options.configuration.stops = UInt32(LT_PROBE_STOP_FOR_TABLES | LT_PROBE_STOP_FOR_SAMPLES)
  let harness = try options.makeHarness()
  var collected = CollectedStacks(limit: options.stackCount)
  var result: (time: Duration, frames: Int, named: Int, inlined: Int, peak: Int)?
  var failure: (any Error)?
  _ = try harness.run(options.command) { sample in
    guard result == nil, failure == nil, sample.outcome & 0xff == 0 else { return }
    collected.add(sample.frames)
    guard collected.stacks.count == options.stackCount else { return }
    // It is stopped. The command is expected to be one process.
    do {
      result = try symbolize(collected.stacks, of: sample.processID, options)
    } catch { failure = error }
    kill(sample.processID, SIGKILL)
  }
  if let failure { throw failure }
  guard let result else {
    throw HarnessError(description: "only \(collected.stacks.count) different stacks were seen")
  }
  print("milliseconds \(fixed(result.time.inMilliseconds, 1))")
  print("peak_mebibytes \(mebibytes(result.peak))")
  print("frames \(result.frames)")
  print("named \(result.named)")
  print("inlined \(result.inlined)")
}

/// Different stacks in the order in which they came.
private struct CollectedStacks {
  let limit: Int
  private(set) var stacks: [[UInt64]] = []
  private var known: Set<[UInt64]> = []

  init(limit: Int) { self.limit = limit }

  mutating func add(_ stack: [UInt64]) {
    if stacks.count < limit, known.insert(stack).inserted { stacks.append(stack) }
  }
}

private func symbolize(
  _ stacks: [[UInt64]], of processID: Int32, _ options: Options
) throws -> (time: Duration, frames: Int, named: Int, inlined: Int, peak: Int) {
  var symbolizerOptions = SymbolizerOptions()
  if options.usesWorker { symbolizerOptions.worker = WorkerLimits() }
  if !options.usesDebugInformation {
    symbolizerOptions.debugDirectories = []
    symbolizerOptions.linesAndInlines = false
  }
  var frames = 0
  var named = 0
  var inlined = 0
  try resetPeakMemory()
  let before = try memory("VmRSS:")
  let time = try ContinuousClock().measure {
    let symbolizer = Symbolizer(options: symbolizerOptions)
    symbolizer.record(
      processID: processID, generation: 0,
      snapshot: AddressSpaceSnapshot(mappings: try ProcessMaps.read(processID: processID)))
    for stack in stacks {
      let found = symbolizer.frames(
        for: StackTrace(addresses: stack, completeness: .complete), processID: processID, generation: 0,
        leafIsExact: true)
      frames += found.count
      for frame in found {
        if frame.function != nil { named += 1 }
        if frame.isInlined { inlined += 1 }
      }
    }
  }
  return (time, frames, named, inlined, try memory("VmHWM:") - before)
}

/// Makes the most that this process had resident what it has now.
private func resetPeakMemory() throws {
  let descriptor = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
  defer { close(descriptor) }
  guard write(descriptor, "5", 1) == 1 else {
    throw HarnessError(description: "/proc/self/clear_refs cannot be written")
  }
}

/// A line of /proc/self/status, in bytes.
private func memory(_ name: String) throws -> Int {
  let status = String(decoding: try readFile("/proc/self/status"), as: UTF8.self)
  for line in status.split(separator: "\n") where line.hasPrefix(name) {
    if let kibibytes = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap({ Int($0) }) {
      return kibibytes << 10
    }
  }
  throw HarnessError(description: "no \(name) in /proc/self/status")
}
