import Glibc
import HostObservation
import PageFaults
import Quantities
import SystemSupport
import TraceModel
import Watch

/// The cheap way to see where memory grows: the page faults of growing processes are sampled with their call stacks,
/// without any probe.
extension WatchDaemon {
  /// Metrics name at most so many functions of a target, and have functions of at most so many targets.
  private static let functionsPerTarget = 5
  private static let targetsWithFunctions = 20
  private static let stacksPerAlert = 3
  private static let framesPerStack = 8
  /// The CPU time, in seconds, that is expected for reading the call-frame information and the symbols of a process.
  private static let usualCost = 0.2
  private static let length = Duration.seconds(20)

  /// Starts sampling the first growing process that was not sampled lately, if the budget has enough for it.
  func sampleFaultsIfDue() {
    guard faults == nil, configuration.arms, budget.canAfford(Self.usualCost) else { return }
    let now = clock.monotonicSeconds
    lastFaulted = lastFaulted.filter { now - $0.value < 86400 }
    for series in ranking.growing {
      guard case .process(let processID, _) = series.key,
        now - (lastFaulted[processID] ?? -.infinity) >= configuration.traceEvery
      else { continue }
      lastFaulted[processID] = now
      let command = series.command ?? "pid \(processID)"
      do {
        faults = try tracer.sampleFaults(
          of: processID, command: command, length: Self.length, faultsPerSecond: faultsPerSecond(series.key))
        return
      } catch {
        log.notice("page faults of process \(processID) (\(command)) cannot be sampled: \(error)")
      }
    }
  }

  /// The rate of minor faults of the process since it was first seen, per second.
  private func faultsPerSecond(_ key: SeriesKey) -> Double {
    guard let track = observer.tracks[key], let first = track.firstProcess, let latest = track.latestProcess,
      let start = track.history.points.seconds.first, observer.lastTime > start
    else { return 0 }
    return Double(latest.minorFaults &- min(first.minorFaults, latest.minorFaults)) / (observer.lastTime - start)
  }

  /// The CPU time that sampling has cost the kernel since the last call, in seconds.
  func takeFaultSeconds() -> Double {
    guard let faults else { return 0 }
    defer { faultSecondsCharged = faults.costSeconds }
    return max(0, faults.costSeconds - faultSecondsCharged)
  }

  func handleFaults() {
    guard let faults else { return }
    faults.handleEvents()
    if faults.isOver || host.isGone(faults.processID) || budget.isExhausted(reserve: 0) { endFaults(faults) }
  }

  private func endFaults(_ faults: any FaultSampling) {
    let sites = faults.finish()
    let seconds = max(0.1, (clock.now - faults.started) / .seconds(1))
    _ = takeFaultSeconds()
    faultSecondsCharged = 0
    self.faults = nil
    hasMemoryToReturn = true
    status.faultSamples &+= UInt64(faults.samples)
    status.faultSamplesLost &+= faults.lost
    let total = sites.reduce(0) { $0 &+ $1.bytes }
    guard total > 0 else { return }
    if growingAt.count > 1000 { growingAt = [:] }
    growingAt[faults.processID] = sites.prefix(Self.stacksPerAlert).map { Self.sentence($0, of: total) }
    noteFunctions(sites, of: faults.command, seconds: seconds)
    log.info(
      "process \(faults.processID) (\(faults.command)) touches \(ByteRate(bytesPerSecond: Double(total) / seconds).text(per: .second)) of new memory, most at \(Self.sentence(sites[0], of: total))"
    )
  }

  private static func sentence(_ site: PageFaultSession.Site, of total: UInt64) -> String {
    var names = site.frames.prefix(framesPerStack).map(name)
    if site.frames.count > framesPerStack || site.completeness != .complete { names.append("…") }
    return names.joined(separator: " ← ") + ", \(percentText(Double(site.bytes) / Double(max(1, total)), decimals: 0))"
  }

  private static func name(_ frame: Frame) -> String {
    // Where memory of a process lies is not for everybody who reads the metrics.
    frame.function ?? frame.moduleOffset.map { "\(module(frame))+0x\(String($0, radix: 16))" } ?? module(frame)
  }

  private static func module(_ frame: Frame) -> String {
    frame.module?.split(separator: "/").last.map(String.init) ?? "?"
  }

  /// Counts bytes by the innermost function that is not in the C library, because the functions of that one copy and
  /// clear memory for everybody.
  private func noteFunctions(_ sites: [PageFaultSession.Site], of command: String, seconds: Double) {
    struct Key: Hashable {
      var function: String
      var module: String
    }
    var bytes: [Key: UInt64] = [:]
    for site in sites {
      let frame = site.frames.first { !Self.module($0).hasPrefix("libc.so") && $0.module != nil } ?? site.frames.first
      guard let frame else { continue }
      bytes[Key(function: Self.name(frame), module: Self.module(frame)), default: 0] &+= site.bytes
    }
    if faultSitesByTarget[command] == nil, faultSitesByTarget.count >= Self.targetsWithFunctions {
      faultSitesByTarget = [:]
    }
    faultSitesByTarget[command] = bytes.sorted { $0.value > $1.value }.prefix(Self.functionsPerTarget).map {
      WatchStatus.FaultSite(
        target: command, function: $0.key.function, module: $0.key.module,
        bytesPerSecond: (Double($0.value) / seconds).rounded())
    }
  }
}
