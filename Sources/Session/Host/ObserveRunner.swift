import AllocationTracing
import CProcessControl
import Glibc
import History
import HostObservation
import Quantities
import Scheduling
import SystemSupport
import TraceModel

/// Carries out one `leaktrace observe`.
package final class ObserveRunner {
  private let plan: ObservePlan
  private let clock = SystemClock()
  private let sampler = HostSampler()
  private var observer: HostObserver
  private var sampleSeconds = 0.0

  /// A process's mappings are read only if it has grown by this many bytes, and only of so many processes per sample.
  private static let growthOfInterest: UInt64 = 256 << 10
  private static let examinedPerSample = 4

  package init(_ plan: ObservePlan) {
    self.plan = plan
    observer = HostObserver(
      interval: plan.interval / .seconds(1), lookback: plan.duration / .seconds(1), ownProcessID: getpid())
  }

  /// Returns the exit code.
  package func run() throws -> Int32 {
    let output = try openOutput(plan.output)
    let startInUnixSeconds = clock.unixSeconds
    if let history = plan.history { return try judge(history.path, since: history.since, output) }
    let start = clock.now
    var progress = ProgressLine()
    let loop = EventLoop(isLive: false)
    loop.onUser(nil) { loop.end($0) }
    loop.onTimer(due: start) { [unowned self] due in
      takeSample()
      progress.show(
        "observing, \(Int((clock.now - start) / .seconds(1))) of \(Int(plan.duration / .seconds(1))) s; Ctrl-C to end now "
      )
      let next = due + plan.interval
      if next > start + plan.duration { loop.end() }
      return next
    }
    let ending = try loop.run()
    progress.clear()
    let report = makeReport(startInUnixSeconds, clock.now - start)
    let code = try write(report, to: output)
    return ending != 0 ? Failure.ended(by: ending) : code
  }

  private func write(_ report: ObservationReport, to output: OutputDocument) throws -> Int32 {
    // The rows are for 80 columns; there has to be room beside them.
    var (columns, rows): (Int32, Int32) = (80, 24)
    let isTerminal = plan.output == nil && isatty(STDOUT_FILENO) == 1
    if isTerminal { cterminal_size(STDOUT_FILENO, &columns, &rows) }
    let drawsGrowth = isTerminal && columns >= 106
    do throws(Refusal) { try output.write(plan.format.render(report, drawsGrowth)) } catch {
      throw Refusal("the report cannot be written to \(plan.output ?? "standard output"): \(error)")
    }
    let leaks = report.growing.contains { !$0.series.isReclaimable }
    return plan.failsOnGrowth && leaks ? Failure.leakFound : 0
  }

  // MARK: What was kept

  private func judge(_ path: String, since start: Double, _ output: OutputDocument) throws -> Int32 {
    let sizes: [(kind: String, name: String, time: Double, bytes: UInt64)]
    do { sizes = try HistoryStore(reading: path).sizes(since: start) } catch {
      throw Refusal("--history: \(error)")
    }
    guard let first = sizes.first, let last = sizes.last else {
      throw Refusal("--history \(path): nothing was kept since then")
    }
    let seconds = max(1, last.time - first.time)
    observer = HostObserver(interval: seconds / Double(SizeHistory.maximumWindows), lookback: seconds)
    for size in sizes {
      guard let key = SeriesKey(kind: size.kind, name: size.name) else { continue }
      let words = size.name.split(separator: " ", maxSplits: 1)
      let name = key.kind == .process && words.count > 1 ? String(words[1]) : nil
      observer.record(kept: size.bytes, of: key, command: name, at: size.time)
    }
    // A history has no memory limits, so the ones of now are used.
    let sample = sampler.sample()
    observer.noteHost(totalBytes: sample.totalBytes, availableBytes: sample.availableBytes)
    var report = makeReport(first.time, .seconds(seconds))
    report.samples = Set(sizes.map(\.time)).count
    report.intervalInSeconds = seconds / Double(max(1, report.samples - 1))
    report.secondsPerSample = 0
    report.notes.append("from a history: limits are those of now, and processes may have ended")
    return try write(report, to: output)
  }

  // MARK: Sampling

  private func takeSample() {
    let before = clock.processSeconds
    observer.record(sampler.sample())
    for key in observer.processesToExamine(grownBy: Self.growthOfInterest, atMost: Self.examinedPerSample) {
      examine(key)
    }
    sampleSeconds += clock.processSeconds - before
  }

  private func examine(_ key: SeriesKey) {
    guard case .process(let processID, _) = key, let classes = sampler.mappingClasses(of: processID) else { return }
    observer.note(classes, of: key)
  }

  // MARK: The report

  private func makeReport(_ startInUnixSeconds: Double, _ duration: Duration) -> ObservationReport {
    let sampler = sampler
    let lookup = GrowthRanking.Lookup(
      cgroupOfProcess: { sampler.cgroup(of: $0) }, memoryLimitOfProcess: { sampler.memoryLimit(of: $0) })
    // The mappings of the growing processes are read once more: compared with the earlier ones, they show what grew.
    var ranking = GrowthRanking(observer, lookup: lookup)
    for entry in ranking.growing.prefix(20) { examine(entry.key) }
    ranking = GrowthRanking(observer, lookup: lookup)
    let limit = plan.top ?? plan.format.usualSeries
    var counts: [SeriesKey.Kind: Int] = [:]
    for key in observer.tracks.keys { counts[key.kind, default: 0] += 1 }
    let growing = ranking.growing
    let removed = growing.contains(where: \.mayBeRemovedFiles) ? RemovedFiles() : nil
    let entries = ranking.series.prefix(limit).map { series -> ObservationReport.Entry in
      guard series.judgement.word == .growing else { return .init(series: series) }
      let member = fastestMember(of: series, in: growing)
      let processID = if case .process(let processID, _) = series.key { Optional(processID) } else { member }
      let profile = processID.map { TargetProfile(processID: $0) }
      return .init(
        series: series, profile: profile,
        next: NextStep(
          for: series, profile: profile, largestMember: member,
          removed: removed?.behind(series) { sampler.cgroup(of: $0) }))
    }
    return ObservationReport(
      startInUnixSeconds: startInUnixSeconds, duration: duration, samples: observer.rounds,
      intervalInSeconds: plan.interval / .seconds(1), totalBytes: observer.totalBytes,
      availableBytes: observer.availableBytes, counts: counts, entries: entries,
      secondsPerSample: sampleSeconds / Double(max(1, observer.rounds)), notes: notes())
  }

  /// The process of a control group, or of a group below it, that grows the fastest.
  private func fastestMember(of series: RankedSeries, in growing: [RankedSeries]) -> Int32? {
    guard case .cgroup(let path) = series.key else { return nil }
    let members = growing.filter { member in
      guard case .process = member.key, let group = member.cgroup else { return false }
      return group == path || group.hasPrefix(path + "/")
    }
    let fastest = members.max { $0.judgement.slope < $1.judgement.slope }
    if case .process(let processID, _)? = fastest?.key { return processID }
    return nil
  }

  private func notes() -> [String] {
    var notes: [String] = []
    if geteuid() != 0 {
      notes.append("not root: slab caches, vmalloc and the mappings of other users' processes are left out")
    }
    if sampler.hierarchy == nil { notes.append("no control groups with memory accounting are mounted") }
    return notes
  }
}
