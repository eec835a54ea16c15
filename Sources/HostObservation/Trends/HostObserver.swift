import KernelStatistics

/// Keeps the sizes of everything on a host over time and says what grows. Pure but for what it is given: samples come from a
/// `HostSampler`, or from a test.
package struct HostObserver: Sendable {
  /// What is known of a series beside its sizes.
  package struct Track: Sendable {
    package var history: SizeHistory
    /// Command name of a process.
    package var command: String?
    package var firstProcess: ProcessMemory?
    package var latestProcess: ProcessMemory?
    package var firstCgroup: CgroupMemory?
    package var latestCgroup: CgroupMemory?
    /// What the process's memory was used for when it was first examined, and what it is used for now.
    package var firstClasses: MappingClasses?
    package var latestClasses: MappingClasses?
    /// Bytes that a file system in memory can hold.
    package var capacity: UInt64?
    package var isReclaimable = false
    var lastRound = 0
  }

  /// Seconds between samples.
  private let interval: Double
  private let longestWindow: Double
  package private(set) var tracks: [SeriesKey: Track] = [:]
  package private(set) var rounds = 0
  package private(set) var firstTime = 0.0
  package private(set) var lastTime = 0.0
  package private(set) var totalBytes: UInt64 = 0
  package private(set) var availableBytes: UInt64 = 0
  /// The id of our own process, which is left out.
  private let ownProcessID: Int32

  /// - Parameters:
  ///   - interval: seconds between samples.
  ///   - lookback: seconds of history that trends are judged by.
  package init(interval: Double, lookback: Double, ownProcessID: Int32 = -1) {
    self.interval = interval
    longestWindow = max(interval, lookback / Double(SizeHistory.maximumWindows))
    self.ownProcessID = ownProcessID
  }

  package mutating func record(_ sample: HostSample) {
    rounds += 1
    if rounds == 1 { firstTime = sample.time }
    lastTime = sample.time
    totalBytes = sample.totalBytes
    availableBytes = sample.availableBytes
    for process in sample.processes where process.processID != ownProcessID {
      let key = SeriesKey.process(process.processID, startTimeInTicks: process.startTimeInTicks)
      record(process.charged, of: key, at: sample.time) { track in
        if track.firstProcess == nil { track.firstProcess = process }
        track.latestProcess = process
        track.command = process.command
      }
    }
    for cgroup in sample.cgroups {
      record(cgroup.unreclaimable, of: .cgroup(cgroup.path), at: sample.time) { track in
        if track.firstCgroup == nil { track.firstCgroup = cgroup }
        track.latestCgroup = cgroup
      }
    }
    for cache in sample.slabCaches {
      record(cache.bytes, of: .slabCache(cache.name), at: sample.time) { $0.isReclaimable = cache.isReclaimable }
    }
    for caller in sample.vmalloc { record(caller.bytes, of: .vmalloc(caller.function), at: sample.time) }
    for share in sample.kernel {
      record(share.bytes, of: .kernel(share.kind.rawValue), at: sample.time) {
        $0.isReclaimable = share.kind == .files || share.kind == .reclaimableSlab
      }
    }
    for usage in sample.tmpfs {
      record(usage.used, of: .tmpfs(usage.mountPoint), at: sample.time) { $0.capacity = usage.size }
    }
    for segment in sample.sharedSegments { record(segment.bytes, of: .sharedSegment(segment.name), at: sample.time) }
    // What a sample does not contain is gone; but functions and caches may only have given back all that they had.
    let round = rounds
    tracks = tracks.filter { $0.value.lastRound == round || round - $0.value.lastRound < 5 && !$0.key.endsForGood }
  }

  /// Records one size that was kept earlier. Times of a series must rise.
  package mutating func record(kept bytes: UInt64, of key: SeriesKey, command: String?, at time: Double) {
    rounds += 1
    record(bytes, of: key, at: time) { $0.command = command }
    firstTime = rounds == 1 ? time : min(firstTime, time)
    lastTime = max(lastTime, time)
  }

  /// Takes over the limits of the present sample, where the sizes come from a history.
  package mutating func noteHost(totalBytes: UInt64, availableBytes: UInt64) {
    self.totalBytes = totalBytes
    self.availableBytes = availableBytes
  }

  private mutating func record(
    _ bytes: UInt64, of key: SeriesKey, at time: Double, _ note: (inout Track) -> Void = { _ in }
  ) {
    var track =
      tracks[key]
      ?? Track(history: SizeHistory(time: time, windowLength: interval, longestWindow: longestWindow))
    track.history.record(bytes, at: time)
    track.lastRound = rounds
    note(&track)
    tracks[key] = track
  }

  /// Processes that have grown by at least `bytes` and whose mappings have not been looked at, the fastest first.
  package func processesToExamine(grownBy bytes: UInt64, atMost count: Int) -> [SeriesKey] {
    var candidates: [(key: SeriesKey, grown: UInt64)] = []
    for (key, track) in tracks where track.firstClasses == nil {
      guard let first = track.firstProcess, let latest = track.latestProcess, latest.charged >= first.charged &+ bytes
      else { continue }
      candidates.append((key, latest.charged - first.charged))
    }
    return candidates.sorted { $0.grown > $1.grown }.prefix(count).map(\.key)
  }

  package mutating func note(_ classes: MappingClasses, of key: SeriesKey) {
    if tracks[key]?.firstClasses == nil { tracks[key]?.firstClasses = classes }
    tracks[key]?.latestClasses = classes
  }
}

extension SeriesKey {
  /// Whether a series that is missing from one sample never comes back.
  var endsForGood: Bool {
    if case .process = self { return true }
    return false
  }
}
