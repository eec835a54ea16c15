import TraceModel

#if canImport(Glibc)
  import Glibc
#endif

/// Compares two recordings of the same program, before and after a change.
package struct ReportComparison {
  /// Units of work done in each recording; nil: amounts are compared per second.
  package var work: (before: Double, after: Double)?
  /// Bytes per unit that a site may grow by without failing.
  package var threshold = 0.0
  /// A change by less than this part of the amount before counts as none.
  package var tolerance = 0.1

  /// Two standard errors on either side.
  private static let confidence = 0.95
  private static let standardErrors = 1.96

  package init() {}

  package func compare(_ before: Report, _ after: Report) -> Comparison {
    let measure = measure(before, after)
    let beforeSites = Dictionary(
      ReportMerge.merged(before.sites).map { (SiteSignature($0), $0) }, uniquingKeysWith: { first, _ in first })
    let afterSites = Dictionary(
      ReportMerge.merged(after.sites).map { (SiteSignature($0), $0) }, uniquingKeysWith: { first, _ in first })
    let units = (units(of: before, work: work?.before), units(of: after, work: work?.after))
    var sites: [Comparison.Site] = []
    for signature in Set(beforeSites.keys).union(afterSites.keys) {
      let (old, new) = (beforeSites[signature], afterSites[signature])
      let beforeRate = rate(of: old, measure, units: units.0)
      let afterRate = rate(of: new, measure, units: units.1)
      guard let verdict = verdict(beforeRate, afterRate), let example = new ?? old else { continue }
      sites.append(
        Comparison.Site(
          frames: example.frames, allocator: example.allocator, verdict: verdict, before: beforeRate, after: afterRate,
          beforeTally: tally(of: old, measure), afterTally: tally(of: new, measure),
          isLeaking: isLeaking(afterRate, verdict, measure, new)))
    }
    sites.sort { rank($0) > rank($1) }
    var notes: [String] = []
    if measure == .outstanding {
      notes.append(
        "neither a leak check nor enough time to see growth in both recordings: outstanding memory is compared, which "
          + "need not be a leak (record with --leak-check)")
    }
    return Comparison(
      normalization: work.map { .perWork(before: $0.before, after: $0.after) } ?? .perSecond, measure: measure,
      confidence: Self.confidence, threshold: threshold, sites: sites, before: sum(sites.map(\.before)),
      after: sum(sites.map(\.after)), notes: notes)
  }

  // MARK: Amounts

  private func measure(_ before: Report, _ after: Report) -> Comparison.Measure {
    if !before.leakChecks.isEmpty, !after.leakChecks.isEmpty { return .lost }
    func knowsGrowth(_ report: Report) -> Bool {
      report.sites.isEmpty || report.sites.contains { ($0.growth?.windows ?? 0) >= 8 }
    }
    return knowsGrowth(before) && knowsGrowth(after) ? .growth : .outstanding
  }

  private func units(of report: Report, work: Double?) -> Double {
    if let work { return max(work, .leastNonzeroMagnitude) }
    let (seconds, attoseconds) = report.window.duration.components
    return max(1e-3, Double(seconds) + Double(attoseconds) / 1e18)
  }

  private func tally(of site: AllocationSite?, _ measure: Comparison.Measure) -> Tally {
    guard let site else { return Tally() }
    guard measure == .lost else { return site.outstanding }
    var sum = site.verdicts[.definitelyLost] ?? Tally()
    sum += site.verdicts[.indirectlyLost] ?? Tally()
    return sum
  }

  private func rate(
    of site: AllocationSite?, _ measure: Comparison.Measure, units: Double
  ) -> Comparison.Rate {
    guard let site else { return Comparison.Rate(value: 0, low: 0, high: 0) }
    if measure == .growth, let growth = site.growth {
      // The slope is per second; per unit of work it is what grew in the run, over the work of the run.
      let factor = work == nil ? 1 : 1 / units
      return Comparison.Rate(
        value: growth.slopeInBytesPerSecond * factor, low: growth.lowerSlope * factor, high: growth.upperSlope * factor)
    }
    let tally = tally(of: site, measure)
    guard tally.count > 0 else { return Comparison.Rate(value: 0, low: 0, high: 0) }
    let bytes = Double(tally.bytes)
    // Blocks come one by one: the standard error of their number is its root, and sampling adds its own.
    var error = bytes / Double(tally.count).squareRoot()
    if let sampling = site.outstandingBytesStandardError { error = (error * error + sampling * sampling).squareRoot() }
    let margin = error * Self.standardErrors
    return Comparison.Rate(
      value: bytes / units, low: max(0, bytes - margin) / units, high: (bytes + margin) / units)
  }

  private func sum(_ rates: [Comparison.Rate]) -> Comparison.Rate {
    let value = rates.reduce(0) { $0 + $1.value }
    // Independent errors add up by their squares.
    let below = rates.reduce(0) { $0 + ($1.value - $1.low) * ($1.value - $1.low) }.squareRoot()
    let above = rates.reduce(0) { $0 + ($1.high - $1.value) * ($1.high - $1.value) }.squareRoot()
    return Comparison.Rate(value: value, low: value - below, high: value + above)
  }

  // MARK: Verdicts

  private func verdict(_ before: Comparison.Rate, _ after: Comparison.Rate) -> Comparison.Verdict? {
    let (hadLeak, hasLeak) = (before.value > threshold, after.value > threshold)
    if !hadLeak && !hasLeak { return before.value > 0 || after.value > 0 ? .unchanged : nil }
    if !hadLeak, before.value <= 0 { return .new }
    if !hasLeak, after.value <= max(0, before.value * 0.02) { return .fixed }
    let change = after.value - before.value
    if abs(change) <= abs(before.value) * tolerance { return .unchanged }
    // Two amounts differ only if their intervals do not overlap.
    if after.low > before.high { return .worse }
    if after.high < before.low { return .improved }
    return .unchanged
  }

  private func isLeaking(
    _ after: Comparison.Rate, _ verdict: Comparison.Verdict, _ measure: Comparison.Measure, _ site: AllocationSite?
  ) -> Bool {
    guard after.value > threshold else { return false }
    switch measure {
    case .lost: return true
    case .growth: return site?.growth?.word == .growing || (after.low > threshold && verdict != .improved)
    case .outstanding: return verdict == .new || verdict == .worse
    }
  }

  private func rank(_ site: Comparison.Site) -> (Int, Double) {
    let order: [Comparison.Verdict] = [.fixed, .improved, .unchanged, .worse, .new]
    let position = order.firstIndex(of: site.verdict) ?? 0
    return ((site.isLeaking ? 10 : 0) + position, max(site.after.value, site.before.value))
  }
}
