import TraceModel

/// What one recording says of a call stack, added up over processes, threads and lines.
struct ComparedSite {
  var example: AllocationSite
  var allocated = Tally()
  var outstanding = Tally()
  /// Definitely and indirectly lost.
  var lost = Tally()
  var possiblyLost = Tally()
  var unchecked = Tally()
  /// What stacks hold, beside what is lost, that surely grow.
  var growing = Tally()
  /// What stacks hold, beside what is lost, of which it is not known whether they grow.
  var undecided = Tally()
  /// Bytes per second, of stacks that hold something.
  var slope = 0.0
  private var below = 0.0
  private var above = 0.0
  private var variance = 0.0

  init(_ site: AllocationSite, isChecked: Bool) {
    example = site
    add(site, isChecked: isChecked)
  }

  /// Lost, or held and growing.
  var leaked: Tally {
    var sum = lost
    sum += growing
    return sum
  }
  var lowerSlope: Double { slope - below.squareRoot() }
  var upperSlope: Double { slope + above.squareRoot() }
  var standardError: Double { variance.squareRoot() }

  mutating func add(_ site: AllocationSite, isChecked: Bool) {
    allocated += site.allocated
    outstanding += site.outstanding
    lost += site.verdicts.lost
    if isChecked {
      possiblyLost += site.verdicts[.possiblyLost] ?? Tally()
      unchecked += site.verdicts[.unchecked] ?? Tally()
    }
    var held = site.outstanding
    held -= site.verdicts.lost
    // What a process frees at its end has grown all the same.
    if let before = site.heldBeforeEnd { held = before }
    switch site.growth?.word {
    case .growing: growing += held
    case .plateau, .startup: break
    case .unclear, nil: undecided += held
    }
    if let error = site.outstandingBytesStandardError { variance += error * error }
    guard let growth = site.growth else { return }
    slope += growth.slopeInBytesPerSecond
    // Independent errors add up by their squares.
    let (down, up) = (
      growth.slopeInBytesPerSecond - growth.lowerSlope, growth.upperSlope - growth.slopeInBytesPerSecond
    )
    below += down * down
    above += up * up
  }

  mutating func add(_ other: ComparedSite) {
    allocated += other.allocated
    outstanding += other.outstanding
    lost += other.lost
    possiblyLost += other.possiblyLost
    unchecked += other.unchecked
    growing += other.growing
    undecided += other.undecided
    slope += other.slope
    below += other.below
    above += other.above
    variance += other.variance
  }

  /// Whether frames of the program itself have no name, so that only their place tells them apart, which any build changes.
  func hasNamelessFrames(of executables: Set<String>) -> Bool {
    example.frames.contains { frame in frame.function == nil && frame.module.map(executables.contains) ?? true }
  }
}

/// One of the two recordings, by call stack.
struct ComparedRecording {
  let report: Report
  var sites: [SiteSignature: ComparedSite] = [:]
  let seconds: Double
  /// Whether stacks are in it of whose blocks none is left.
  let holdsFreed: Bool
  let isChecked: Bool
  /// Whether the run was long enough to tell what grows.
  let knowsGrowth: Bool

  init(_ report: Report) {
    self.report = report
    seconds = max(1e-3, report.window.duration.inSeconds)
    holdsFreed = report.freedSites != nil
    isChecked = !report.leakChecks.isEmpty
    let checked = Set(report.leakChecks.map(\.processID))
    let sites = report.sites + (report.freedSites ?? [])
    knowsGrowth =
      report.sites.contains { ($0.growth?.windows ?? 0) >= 8 } || report.sites.isEmpty && seconds >= 5
    for site in sites {
      let signature = SiteSignature(site)
      let isChecked = checked.contains(site.processID)
      if self.sites[signature] == nil {
        self.sites[signature] = ComparedSite(site, isChecked: isChecked)
      } else {
        self.sites[signature]?.add(site, isChecked: isChecked)
      }
    }
  }

  /// Whether it is of a whole run of a command, from its first allocation to its end.
  var isWholeRun: Bool { report.target.kind == .command && report.target.exitStatus != nil }

  /// How many sampled blocks so many blocks of a site are, for how sure a number is: fewer than the estimate says.
  func sampledCount(_ count: Double, of site: ComparedSite) -> Double {
    guard let sampling = report.sampling else { return count }
    if let nth = sampling.everyNth, nth > 1 { return count / Double(nth) }
    guard sampling.meanInBytes > 0, site.allocated.count > 0 else { return count }
    let size = Double(site.allocated.bytes) / Double(site.allocated.count)
    return count * min(1, size / Double(sampling.meanInBytes))
  }
}
