import Quantities
import TraceModel

/// Says of one call stack what became of its leak, or why that cannot be told.
struct SiteJudge {
  let before: ComparedRecording
  let after: ComparedRecording
  let measure: Comparison.Measure
  /// How much of the load of BEFORE there was in AFTER.
  let load: Double
  let comparison: ReportComparison
  /// Whether both recordings are of one build, as far as they tell.
  private let comparesSameBuild: Bool
  /// Whether records are missing, so that there is no word of any stack.
  var isIncomplete = false
  /// Why nothing can be called fixed.
  var doubt: String?

  init(
    before: ComparedRecording, after: ComparedRecording, measure: Comparison.Measure, load: Double,
    comparison: ReportComparison
  ) {
    self.before = before
    self.after = after
    self.measure = measure
    self.load = load
    self.comparison = comparison
    comparesSameBuild = Self.isSameBuild(before.report, after.report)
  }

  /// nil when there is nothing to say of it.
  func site(_ old: ComparedSite?, _ new: ComparedSite?) -> Comparison.Site? {
    guard let example = (new ?? old)?.example else { return nil }
    let unitsBefore = comparison.units(of: before, work: comparison.work?.before)
    let unitsAfter = comparison.units(of: after, work: comparison.work?.after)
    let oldRate = comparison.rate(of: old, measure, units: unitsBefore)
    let newRate = comparison.rate(of: new, measure, units: unitsAfter)
    guard let answer = answer(old, new, oldRate, newRate) else { return nil }
    var site = Comparison.Site(
      frames: example.frames.isEmpty ? example.stack.addresses.map { Frame(address: $0) } : example.frames,
      allocator: example.allocator, verdict: answer.verdict, before: oldRate, after: newRate,
      beforeTally: shown(old), afterTally: shown(new), isLeaking: answer.isLeaking)
    site.reason = answer.reason
    return site
  }

  private func shown(_ site: ComparedSite?) -> Tally {
    guard let site else { return Tally() }
    return measure == .lost ? site.leaked : site.outstanding
  }

  private struct Answer {
    var verdict: Comparison.Verdict
    var isLeaking = false
    var reason: String?
  }

  private func answer(
    _ old: ComparedSite?, _ new: ComparedSite?, _ oldRate: Comparison.Rate, _ newRate: Comparison.Rate
  ) -> Answer? {
    let hadLeak = (old?.leaked.count ?? 0) > 0 && oldRate.value > comparison.threshold
    let hasLeak = (new?.leaked.count ?? 0) > 0 && newRate.value > comparison.threshold
    if isIncomplete {
      let isOutstanding = measure == .outstanding && (oldRate.value > 0 || newRate.value > 0)
      guard hadLeak || hasLeak || isOutstanding else { return nil }
      return Answer(
        verdict: .unclear, reason: measure == .outstanding ? "only what is outstanding is known" : "records are missing"
      )
    }
    switch (hadLeak, hasLeak) {
    case (true, true): return changed(old, new, oldRate, newRate)
    case (false, true): return appeared(old, new)
    case (true, false): return disappeared(old, new)
    case (false, false): return withoutLeak(old, new, newRate)
    }
  }

  // MARK: It leaks in AFTER

  private func changed(
    _ old: ComparedSite?, _ new: ComparedSite?, _ oldRate: Comparison.Rate, _ newRate: Comparison.Rate
  ) -> Answer {
    // What AFTER would show per unit had nothing but the load changed.
    let time = comparison.work == nil ? after.seconds / before.seconds : load
    let factor = time > 0 && load.isFinite ? load / time : 1
    let expected = Comparison.Rate(
      value: oldRate.value * factor, low: oldRate.low * factor, high: oldRate.high * factor)
    let change = newRate.value - expected.value
    if abs(change) <= abs(expected.value) * comparison.tolerance { return Answer(verdict: .unchanged, isLeaking: true) }
    // Two amounts differ only if their intervals do not overlap.
    if newRate.low > expected.high { return Answer(verdict: .worse, isLeaking: true) }
    if newRate.high < expected.low { return Answer(verdict: .improved, isLeaking: true) }
    return Answer(verdict: .unchanged, isLeaking: true)
  }

  private func appeared(_ old: ComparedSite?, _ new: ComparedSite?) -> Answer {
    guard let new else { return Answer(verdict: .unclear) }
    if !comparesSameBuild, new.hasNamelessFrames(of: Self.executables(of: after)) {
      return Answer(
        verdict: .unclear, isLeaking: true,
        reason: "it leaks; another build, and without names it cannot be found in BEFORE")
    }
    guard let old else {
      return Answer(
        verdict: .new, isLeaking: true, reason: "no allocation of it is in BEFORE")
    }
    let ratio = new.allocated.count > 0 ? Double(old.allocated.count) / Double(new.allocated.count) : 1
    if Double(new.leaked.count) * ratio < ReportComparison.expectedLeaks, ratio < 1 {
      return Answer(
        verdict: .unclear, isLeaking: true,
        reason:
          "it leaks; whether it is new is not known: BEFORE has \(count(old.allocated)) of it, AFTER \(groupedNumber(new.allocated.count))"
      )
    }
    return Answer(verdict: .new, isLeaking: true)
  }

  private static func isSameBuild(_ before: Report, _ after: Report) -> Bool {
    func builds(_ report: Report) -> Set<String> { Set((report.target.programs ?? []).compactMap(\.buildID)) }
    let (old, new) = (builds(before), builds(after))
    return old.isEmpty || new.isEmpty || !old.isDisjoint(with: new)
  }

  private static func executables(of recording: ComparedRecording) -> Set<String> {
    Set((recording.report.target.programs ?? []).compactMap(\.executable))
  }

  // MARK: It leaked in BEFORE only

  private func disappeared(_ old: ComparedSite?, _ new: ComparedSite?) -> Answer? {
    guard let old else { return nil }
    guard let new, new.allocated.count > 0 else { return gone(old) }
    if let doubt { return Answer(verdict: .unclear, reason: doubt) }
    let leaked = Double(old.leaked.count)
    let all = max(Double(old.allocated.count), leaked)
    let expected = leaked / all * Double(new.allocated.count)
    let isSure = min(before.sampledCount(leaked, of: old), after.sampledCount(expected, of: new))
    // Where every block leaked, even one that does not says something, if there are no fewer of them.
    let leakedAlways =
      leaked >= 0.99 * all && new.allocated.count >= old.allocated.count && after.report.sampling == nil
    guard isSure >= ReportComparison.expectedLeaks || leakedAlways else {
      return Answer(
        verdict: .unclear,
        reason:
          "too few allocations of it in AFTER: \(groupedNumber(new.allocated.count)), of which \(shortNumber(expected)) would leak "
          + "had nothing changed")
    }
    let needed = max(1, 0.1 * expected)
    if measure == .lost, Double(new.possiblyLost.count) >= needed {
      return Answer(verdict: .unclear, reason: "\(count(new.possiblyLost)) of it are possibly lost in AFTER")
    }
    if measure == .lost, Double(new.unchecked.count) >= needed {
      return Answer(verdict: .unclear, reason: "\(count(new.unchecked)) of it are unchecked in AFTER")
    }
    return held(old, new, expected)
  }

  /// Its blocks are not lost, or do not surely grow. What is left of them may be held instead.
  private func held(_ old: ComparedSite, _ new: ComparedSite, _ expected: Double) -> Answer {
    let fixed = Answer(verdict: .fixed)
    guard new.undecided.count > 0 else { return fixed }
    // As many as would have leaked are still there, and whether they grow is not known.
    let part = Double(new.undecided.count) / max(1, expected)
    let limit = measure == .lost ? 0.5 : 0.25
    guard part >= limit else { return fixed }
    if measure == .growth, new.upperSlope < 0.25 * old.slope * min(1, load), new.upperSlope.isFinite { return fixed }
    return Answer(
      verdict: .unclear,
      reason: "\(count(new.undecided)) of it are still held in AFTER, and whether they grow is not known")
  }

  private func gone(_ old: ComparedSite) -> Answer {
    if let doubt { return Answer(verdict: .unclear, reason: doubt) }
    if !comparesSameBuild, old.hasNamelessFrames(of: Self.executables(of: before)) {
      return Answer(verdict: .unclear, reason: "another build, and without names it cannot be found in AFTER")
    }
    guard after.holdsFreed else {
      return Answer(verdict: .unclear, reason: "AFTER does not tell of stacks whose blocks were all freed")
    }
    if comparison.acceptsGone {
      return Answer(verdict: .fixed, reason: "no allocation of it is in AFTER (--accept-gone)")
    }
    return Answer(
      verdict: .unclear,
      reason: "not exercised: no allocation of it is in AFTER, so either it did not run there or its code is gone "
        + "(then: --accept-gone)")
  }

  // MARK: It leaks in neither

  private func withoutLeak(_ old: ComparedSite?, _ new: ComparedSite?, _ newRate: Comparison.Rate) -> Answer? {
    if (old?.leaked.count ?? 0) > 0 || (new?.leaked.count ?? 0) > 0 {
      return Answer(verdict: .unchanged, reason: "below the growth that is allowed")
    }
    guard let new else { return nil }
    if measure == .lost {
      let usual = Double(old?.possiblyLost.count ?? 0) * max(1, load.isFinite ? load : 1)
      let possible = Double(new.possiblyLost.count)
      let isAboveThreshold =
        Double(new.possiblyLost.bytes) > comparison.threshold
        * comparison.units(
          of: after, work: comparison.work?.after)
      if possible > 0, isAboveThreshold, possible > usual * 1.1 + 2 * usual.squareRoot() {
        return Answer(verdict: .unclear, reason: "\(count(new.possiblyLost)) of it are possibly lost in AFTER")
      }
    }
    let rises = new.undecided.count >= 6 && new.lowerSlope > comparison.threshold && new.lowerSlope > 0
    if rises, new.slope > 0, !(measure == .lost && new.slope * after.seconds < 0.5 * Double(new.undecided.bytes)) {
      return Answer(verdict: .unclear, reason: "it rises in AFTER, and whether it goes on is not known")
    }
    return nil
  }

  private func count(_ tally: Tally) -> String { counted(tally.count, "block") }
}
