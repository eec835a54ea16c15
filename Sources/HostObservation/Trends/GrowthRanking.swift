import KernelStatistics

/// One series, and what makes it a risk.
package struct RankedSeries: Sendable {
  package var key: SeriesKey
  package var judgement: TrendJudgement
  package var bytes: UInt64
  package var command: String?
  package var owner: CgroupOwner?
  package var cgroup: String?
  package var limit: MemoryLimit?
  /// The part of all growth of its kind that this is: 0 to 1.
  package var share: Double
  package var kinds: [(kind: GrowthKind, bytes: UInt64)]
  package var points: (seconds: [Double], bytes: [Double])
  package var classes: MappingClasses?
  package var process: ProcessMemory?
  package var cgroupMemory: CgroupMemory?
  /// Whether the kernel gives this memory back by itself when it is needed: caches, which grow wherever there is room.
  package var isReclaimable: Bool

  package init(
    key: SeriesKey, judgement: TrendJudgement, bytes: UInt64, share: Double = 0,
    kinds: [(kind: GrowthKind, bytes: UInt64)] = [], points: (seconds: [Double], bytes: [Double]) = ([], []),
    isReclaimable: Bool = false
  ) {
    self.key = key
    self.judgement = judgement
    self.bytes = bytes
    self.share = share
    self.kinds = kinds
    self.points = points
    self.isReclaimable = isReclaimable
  }

  package var bytesPerHour: Double { judgement.slope * 3600 }
  /// nil unless it grows towards a limit.
  package var secondsToLimit: Double? {
    guard judgement.word == .growing, judgement.slope > 0, let limit else { return nil }
    return Double(limit.left) / judgement.slope
  }
}

/// Orders what was observed by risk: series that grow come before those that do not, and the sooner one meets a limit
/// the higher it stands.
package struct GrowthRanking: Sendable {
  /// Looks up what only some series need.
  package struct Lookup {
    package var cgroupOfProcess: (Int32) -> String?
    package var memoryLimitOfProcess: (Int32) -> UInt64?
    package init(
      cgroupOfProcess: @escaping (Int32) -> String? = { _ in nil },
      memoryLimitOfProcess: @escaping (Int32) -> UInt64? = { _ in nil }
    ) {
      self.cgroupOfProcess = cgroupOfProcess
      self.memoryLimitOfProcess = memoryLimitOfProcess
    }
  }

  /// The series that grow come first; the others follow by size.
  package private(set) var series: [RankedSeries]

  package var growing: [RankedSeries] { series.filter { $0.judgement.word == .growing } }

  package init(_ observer: HostObserver, lookup: Lookup = Lookup()) {
    var ranked: [RankedSeries] = []
    var totals: [SeriesKey.Kind: Double] = [:]
    for (key, track) in observer.tracks {
      let points = track.history.points
      let judgement = TrendJudgement(points)
      let isGrowing = judgement.word == .growing
      if isGrowing { totals[key.kind, default: 0] += judgement.slope }
      var entry = RankedSeries(
        key: key, judgement: judgement, bytes: track.history.latestBytes,
        kinds: GrowthKind.growth(of: track, key: key), points: points, isReclaimable: track.isReclaimable)
      entry.command = track.command
      entry.classes = track.latestClasses
      entry.process = track.latestProcess
      entry.cgroupMemory = track.latestCgroup
      ranked.append(entry)
    }
    for place in ranked.indices {
      if ranked[place].judgement.word == .growing {
        ranked[place].share = ranked[place].judgement.slope / (totals[ranked[place].key.kind] ?? .infinity)
      }
      Self.complete(&ranked[place], observer, lookup)
    }
    series = Self.ordered(ranked)
  }

  private static func complete(_ entry: inout RankedSeries, _ observer: HostObserver, _ lookup: Lookup) {
    // What follows is looked up only for series that grow, because it takes reading more files.
    let isGrowing = entry.judgement.word == .growing
    var limits: [MemoryLimit] = []
    if observer.totalBytes > 0 { limits.append(MemoryLimit(left: observer.availableBytes, name: "MemAvailable")) }
    switch entry.key {
    case .process(let processID, _):
      guard isGrowing else { break }
      entry.cgroup = lookup.cgroupOfProcess(processID)
      if let most = lookup.memoryLimitOfProcess(processID) {
        limits.append(MemoryLimit(left: most - min(most, entry.bytes), name: "ulimit"))
      }
      limits += cgroupLimits(entry.cgroup, observer)
    case .cgroup(let path):
      entry.cgroup = path
      limits += cgroupLimits(path, observer)
    case .tmpfs(let mountPoint):
      if let capacity = observer.tracks[entry.key]?.capacity {
        limits.append(MemoryLimit(left: capacity - min(capacity, entry.bytes), name: "size of \(mountPoint)"))
      }
    case .slabCache, .vmalloc, .kernel, .sharedSegment: break
    }
    entry.owner = entry.cgroup.flatMap(CgroupOwner.init(path:))
    entry.limit = limits.min { $0.left < $1.left }
  }

  private static func cgroupLimits(_ path: String?, _ observer: HostObserver) -> [MemoryLimit] {
    MemoryLimit.ofGroups(path, hostBytes: observer.totalBytes) { observer.tracks[.cgroup($0)]?.latestCgroup }
  }

  private static func ordered(_ ranked: [RankedSeries]) -> [RankedSeries] {
    let growing = ranked.filter { $0.judgement.word == .growing && !$0.isReclaimable }.sorted(by: isSooner)
    var result: [RankedSeries] = []
    // One cause shows in several series at nearly the same rate: the series nearest to the cause goes first.
    var start = 0
    while start < growing.count {
      let first = growing[start].secondsToLimit ?? .infinity
      var end = start + 1
      while end < growing.count, growing[end].secondsToLimit ?? .infinity <= first * alike { end += 1 }
      result += growing[start..<end].sorted {
        ($0.key.kind.precision, -$0.judgement.slope) < ($1.key.kind.precision, -$1.judgement.slope)
      }
      start = end
    }
    let droppable = ranked.filter { $0.judgement.word == .growing && $0.isReclaimable }.sorted(by: isSooner)
    let others = ranked.filter { $0.judgement.word != .growing }.sorted {
      ($1.bytes, $0.key.kind.precision, $0.key.name) < ($0.bytes, $1.key.kind.precision, $1.key.name)
    }
    return result + droppable + others
  }

  /// Times to limits that differ by less than this are alike.
  private static let alike = 1.2

  private static func isSooner(_ left: RankedSeries, _ right: RankedSeries) -> Bool {
    (left.secondsToLimit ?? .infinity, -left.judgement.slope, left.key.name) < (
      right.secondsToLimit ?? .infinity, -right.judgement.slope, right.key.name
    )
  }
}

extension SeriesKey.Kind {
  /// How near a kind of series is to the cause of growth; the nearest is 0.
  fileprivate var precision: Int {
    switch self {
    case .process: 0
    case .slabCache: 1
    case .vmalloc: 2
    case .sharedSegment: 3
    case .tmpfs: 4
    case .cgroup: 5
    case .kernel: 6
    }
  }
}
