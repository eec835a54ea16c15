import TraceModel

/// Adds reports up: of several hosts, processes or stretches of time.
package enum ReportMerge {
  package static func merge(_ reports: [Report]) -> Report? {
    guard var result = reports.first else { return nil }
    for report in reports.dropFirst() { add(report, to: &result) }
    result.sites = merged(result.sites)
    result.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return result
  }

  private static func add(_ report: Report, to result: inout Report) {
    let start = min(result.window.startInUnixSeconds, report.window.startInUnixSeconds)
    result.window = Report.Window(
      startInUnixSeconds: start, duration: max(result.window.duration, report.window.duration))
    result.totals.outstanding += report.totals.outstanding
    result.totals.allocated += report.totals.allocated
    result.totals.freed += report.totals.freed
    result.totals.unmatchedFrees &+= report.totals.unmatchedFrees
    if let error = report.totals.outstandingBytesStandardError {
      let other = result.totals.outstandingBytesStandardError ?? 0
      result.totals.outstandingBytesStandardError = (error * error + other * other).squareRoot()
    }
    result.processes += report.processes
    result.sites += report.sites
    result.probes += report.probes
    result.leakChecks += report.leakChecks
    result.suppressions += report.suppressions
    result.retention += report.retention
    if let threads = report.threads { result.threads = (result.threads ?? []) + threads }
    if let unexplained = report.unexplained { result.unexplained = (result.unexplained ?? []) + unexplained }
    for missing in report.missingSymbols ?? []
    where result.missingSymbols?.contains(where: { $0.module == missing.module }) != true {
      result.missingSymbols = (result.missingSymbols ?? []) + [missing]
    }
    if let freed = report.freedSites { result.freedSites = (result.freedSites ?? []) + freed }
    if let programs = report.target.programs {
      result.target.programs =
        (result.target.programs ?? []) + programs.filter { !(result.target.programs ?? []).contains($0) }
    }
    if report.settings != result.settings { result.settings = nil }
    if let filter = report.filter {
      var whole = result.filter?.whole ?? Tally()
      whole += filter.whole
      result.filter = Report.Filter(words: filter.words, whole: whole)
    }
    for note in report.notes where !result.notes.contains(note) { result.notes.append(note) }
    for counter in report.loss {
      if let position = result.loss.firstIndex(where: { $0.name == counter.name }) {
        result.loss[position].value &+= counter.value
      } else {
        result.loss.append(counter)
      }
    }
    // The courses of different runs cannot be added, because they have no common time.
    result.timeline = []
    result.kernelMemory = nil
    if report.target.processID != result.target.processID { result.target.processID = nil }
    if report.target.command != result.target.command { result.target.command = nil }
    if report.target.executable != result.target.executable { result.target.executable = nil }
  }

  /// Sites of the same names added up; the first one's addresses stay.
  package static func merged(_ sites: [AllocationSite]) -> [AllocationSite] {
    var positions: [SiteSignature: Int] = [:]
    var result: [AllocationSite] = []
    for site in sites {
      let signature = SiteSignature(site)
      guard let known = positions[signature] else {
        positions[signature] = result.count
        result.append(site)
        continue
      }
      result[known].add(site)
    }
    return result
  }
}

extension AllocationSite {
  mutating func add(_ site: AllocationSite) {
    if kernel == nil { shares = SiteShare.added(self, site) }
    heldBy = Holder.added(heldBy, site.heldBy)
    freedAt = FreePlace.added(freedAt, of: allocated.count, site.freedAt, of: site.allocated.count)
    outstanding += site.outstanding
    allocated += site.allocated
    freed += site.freed
    keeps += site.keeps
    verdicts.merge(site.verdicts) { Tally(bytes: $0.bytes &+ $1.bytes, count: $0.count &+ $1.count) }
    holders.merge(site.holders) { Tally(bytes: $0.bytes &+ $1.bytes, count: $0.count &+ $1.count) }
    allocations += site.allocations
    if let age = site.oldestAge { oldestAge = max(age, oldestAge ?? age) }
    if let error = site.outstandingBytesStandardError {
      let other = outstandingBytesStandardError ?? 0
      outstandingBytesStandardError = (error * error + other * other).squareRoot()
    }
    growth = GrowthEvidence.sum(growth, site.growth)
  }
}

extension GrowthEvidence {
  /// What two sites of one report do together. Slopes add up; so do the squares of their errors. There is a word only where
  /// the words allow one: what is known of one part says nothing of another that is unclear.
  static func sum(_ first: GrowthEvidence?, _ second: GrowthEvidence?) -> GrowthEvidence? {
    guard let first, let second else { return nil }
    var sum = first
    sum.slopeInBytesPerSecond += second.slopeInBytesPerSecond
    func error(_ bound: KeyPath<GrowthEvidence, Double>) -> Double {
      let (one, other) = (
        first[keyPath: bound] - first.slopeInBytesPerSecond, second[keyPath: bound] - second.slopeInBytesPerSecond
      )
      return (one * one + other * other).squareRoot()
    }
    sum.lowerSlope = sum.slopeInBytesPerSecond - error(\.lowerSlope)
    sum.upperSlope = sum.slopeInBytesPerSecond + error(\.upperSlope)
    sum.windows = min(first.windows, second.windows)
    sum.generationsAlive = max(first.generationsAlive, second.generationsAlive)
    sum.survival = nil
    if first.word == second.word {
      sum.word = first.word
    } else if [first.word, second.word].contains(.growing), ![first.word, second.word].contains(.unclear) {
      sum.word = .growing
    } else {
      sum.word = [first.word, second.word].contains(.unclear) ? .unclear : .plateau
    }
    return sum
  }
}
