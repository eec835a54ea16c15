import Quantities
import TraceModel

/// Compares two recordings of the same program, before and after a change. Where the recordings do not support a word it
/// says so: see ``Comparison/Answer``.
package struct ReportComparison {
  /// Units of work done in each recording; nil: amounts are compared per second.
  package var work: (before: Double, after: Double)?
  /// Bytes per unit that a site may grow by without failing.
  package var threshold = 0.0
  /// A change by less than this part of the amount before counts as none.
  package var tolerance = 0.1
  /// Compare also what seems to be different programs.
  package var isForced = false
  /// Take a stack whose allocations do not happen any more for fixed.
  package var acceptsGone = false

  /// Two standard errors on either side.
  private static let confidence = 0.95
  private static let standardErrors = 1.96
  /// So many leaks must be expected of an unchanged program before their absence says anything: with 5 the chance that
  /// none comes is below 1 %.
  static let expectedLeaks = 5.0
  /// AFTER must last, and BEFORE must have lasted, this part of the other.
  static let timeNeeded = 0.25
  /// The same for allocations.
  static let workNeeded = 0.02

  package init() {}

  package func compare(_ before: Report, _ after: Report) -> Comparison {
    let programs = ComparedPrograms(before, after)
    var (old, new) = (ComparedRecording(before), ComparedRecording(after))
    let measure = measure(old, new)
    var notes = programs.notes
    var refusals: [String] = []
    if isForced { notes += programs.differences } else { refusals += programs.differences }
    guard refusals.isEmpty else { return result([], measure, notes: notes, refusals: refusals) }
    for (name, report) in [("BEFORE", before), ("AFTER", after)] {
      for counter in report.missingRecords {
        refusals.append(
          "\(name) is incomplete: \(groupedNumber(counter.value)) \(counter.description) (\(counter.name))")
      }
    }
    if measure == .outstanding {
      refusals.append(
        "neither a leak check nor enough time to see growth in both recordings: that memory is outstanding does not mean "
          + "that it leaks (record with --leak-check, or for longer)")
    }
    pairVariants(&old, &new)
    let load = load(old, new)
    let doubts = doubts(old, new)
    var judge = SiteJudge(before: old, after: new, measure: measure, load: load, comparison: self)
    judge.isIncomplete = !refusals.isEmpty
    judge.doubt = doubts.first
    var sites: [Comparison.Site] = []
    for signature in Set(old.sites.keys).union(new.sites.keys).sorted() {
      if let site = judge.site(old.sites[signature], new.sites[signature]) { sites.append(site) }
    }
    sites.sort { rank($0) > rank($1) }
    notes += loadNotes(old, new, load) + uncheckedNotes(new)
    return result(sites, measure, notes: notes, refusals: refusals, doubts: doubts)
  }

  private func result(
    _ sites: [Comparison.Site], _ measure: Comparison.Measure, notes: [String], refusals: [String],
    doubts: [String] = []
  ) -> Comparison {
    var comparison = Comparison(
      normalization: work.map { .perWork(before: $0.before, after: $0.after) } ?? .perSecond, measure: measure,
      confidence: Self.confidence, threshold: threshold, sites: sites, before: sum(sites.map(\.before)),
      after: sum(sites.map(\.after)), notes: notes)
    comparison.refusals = refusals
    comparison.doubts = doubts
    return comparison
  }

  private func measure(_ before: ComparedRecording, _ after: ComparedRecording) -> Comparison.Measure {
    if before.isChecked, after.isChecked { return .lost }
    return before.knowsGrowth && after.knowsGrowth ? .growth : .outstanding
  }

  /// Gives stacks of both recordings one name that are variants of each other and have no equal in the other one: first where
  /// AFTER has frames more, then where it has frames less, if only one stack of BEFORE can be meant.
  ///
  /// What is paired does not depend on the order of the recordings' stacks: they are taken in the order of their names.
  private func pairVariants(_ before: inout ComparedRecording, _ after: inout ComparedRecording) {
    let missing = before.sites.filter { after.sites[$0.key] == nil && $0.value.leaked.count > 0 }.map(\.key).sorted()
    var unmatched = VariantIndex(after.sites.keys.filter { before.sites[$0] == nil })
    guard !unmatched.isEmpty, !missing.isEmpty else { return }
    func pair(_ signature: SiteSignature, with other: SiteSignature) {
      unmatched.remove(other)
      guard let variant = after.sites.removeValue(forKey: other) else { return }
      if after.sites[signature] == nil {
        after.sites[signature] = variant
      } else {
        after.sites[signature]?.add(variant)
      }
    }
    for signature in missing {
      for other in unmatched.variants(of: signature) where other.count >= signature.count {
        pair(signature, with: other)
      }
    }
    let left = VariantIndex(missing.filter { after.sites[$0] == nil })
    for other in unmatched.signatures {
      let meant = left.variants(of: other)
      if meant.count == 1 { pair(meant[0], with: other) }
    }
  }

  // MARK: Work and time

  /// How much of the load of BEFORE there was in AFTER: by the work that the user tells of, else by what stacks allocated that
  /// leak in neither, else by the time.
  private func load(_ before: ComparedRecording, _ after: ComparedRecording) -> Double {
    if let work { return work.after / max(work.before, .leastNonzeroMagnitude) }
    var sums = (before: 0.0, after: 0.0)
    for (signature, old) in before.sites where old.leaked.count == 0 {
      guard let new = after.sites[signature], new.leaked.count == 0 else { continue }
      sums.before += Double(old.allocated.count)
      sums.after += Double(new.allocated.count)
    }
    // Few allocations are those of the beginning.
    guard sums.before >= 100 else { return after.seconds / before.seconds }
    return sums.after / sums.before
  }

  /// Why it cannot be said that nothing leaks, as a whole.
  private func doubts(_ before: ComparedRecording, _ after: ComparedRecording) -> [String] {
    var doubts: [String] = []
    let bothRan = before.isWholeRun && after.isWholeRun
    if !bothRan, after.seconds < Self.timeNeeded * before.seconds {
      doubts.append(
        "AFTER is too short: \(after.report.window.duration.text), BEFORE \(before.report.window.duration.text)")
    }
    let (old, new) = (before.report.totals.allocated, after.report.totals.allocated)
    func isFew(_ some: Tally, than others: Tally) -> Bool {
      Double(some.count) < Self.workNeeded * Double(others.count)
        || Double(some.bytes) < Self.workNeeded * Double(others.bytes)
    }
    func text(_ tally: Tally) -> String { "\(ByteSize.exact(tally.bytes)) in \(counted(tally.count, "block"))" }
    if new.count == 0 || isFew(new, than: old) {
      doubts.append("AFTER did too little: it allocated \(text(new)), BEFORE \(text(old))")
    }
    let hadLeak = before.sites.values.contains { $0.leaked.count > 0 }
    if !hadLeak, old.count == 0 || isFew(old, than: new) {
      doubts.append("BEFORE did too little to leak: it allocated \(text(old)), AFTER \(text(new))")
    } else if !hadLeak, !bothRan, before.seconds < Self.timeNeeded * after.seconds {
      doubts.append(
        "BEFORE is too short: \(before.report.window.duration.text), AFTER \(after.report.window.duration.text)")
    }
    if let unexplained = Headline.unexplained(after.report) { doubts.append("AFTER " + unexplained) }
    if before.isChecked, !after.isChecked { doubts.append("AFTER has no leak check, BEFORE has one") }
    if after.isChecked {
      let checked = Set(after.report.leakChecks.map(\.processID))
      let missing = Set(after.report.sites.map(\.processID)).subtracting(checked).sorted()
      if !missing.isEmpty {
        let list = missing.prefix(5).map { "\($0)" }.joined(separator: ", ")
        doubts.append("not every process of AFTER was checked for leaks: \(list)")
      }
    }
    return doubts
  }

  private func loadNotes(_ before: ComparedRecording, _ after: ComparedRecording, _ load: Double) -> [String] {
    let (old, new) = (before.report.totals.allocated, after.report.totals.allocated)
    var notes = [
      "load: \(ByteSize.exact(old.bytes)) allocated in \(counted(old.count, "block")) in \(before.report.window.duration.text) of BEFORE, "
        + "\(ByteSize.exact(new.bytes)) in \(counted(new.count, "block")) in \(after.report.window.duration.text) of AFTER"
    ]
    let time = after.seconds / before.seconds
    if work == nil, load.isFinite, load > 2 * time || load < time / 2 {
      notes.append(
        "the load is not that of BEFORE: stacks that do not leak allocated \(shortNumber(load)) times as often")
    }
    return notes
  }

  private func uncheckedNotes(_ after: ComparedRecording) -> [String] {
    guard after.isChecked else { return [] }
    var (possible, unchecked) = (Tally(), Tally())
    for check in after.report.leakChecks {
      possible += check.kinds[.possiblyLost] ?? Tally()
      unchecked += check.kinds[.unchecked] ?? Tally()
    }
    return [("possibly lost", possible), ("unchecked", unchecked)].compactMap { name, tally in
      tally.count == 0 ? nil : "\(name) in AFTER: \(ByteSize.exact(tally.bytes)) in \(counted(tally.count, "block"))"
    }
  }

  // MARK: Sums

  private func sum(_ rates: [Comparison.Rate]) -> Comparison.Rate {
    let value = rates.reduce(0) { $0 + $1.value }
    // Independent errors add up by their squares.
    let below = rates.reduce(0) { $0 + ($1.value - $1.low) * ($1.value - $1.low) }.squareRoot()
    let above = rates.reduce(0) { $0 + ($1.high - $1.value) * ($1.high - $1.value) }.squareRoot()
    return Comparison.Rate(value: value, low: value - below, high: value + above)
  }

  private func rank(_ site: Comparison.Site) -> (Int, Double) {
    let order: [Comparison.Verdict] = [.fixed, .improved, .unchanged, .unclear, .worse, .new]
    let position = order.firstIndex(of: site.verdict) ?? 0
    return ((site.isLeaking ? 10 : 0) + position, max(site.after.value, site.before.value))
  }

  /// The amount of a site per unit, with its interval.
  func rate(of site: ComparedSite?, _ measure: Comparison.Measure, units: Double) -> Comparison.Rate {
    guard let site else { return Comparison.Rate(value: 0, low: 0, high: 0) }
    if measure == .growth, site.lost.count == 0 {
      // The slope is per second; per unit of work it is what grew in the run, over the work of the run.
      let factor = work == nil ? 1 : 1 / units
      return Comparison.Rate(
        value: site.slope * factor, low: site.lowerSlope * factor, high: site.upperSlope * factor)
    }
    let tally = measure == .outstanding ? site.outstanding : site.leaked
    guard tally.count > 0 else { return Comparison.Rate(value: 0, low: 0, high: 0) }
    let bytes = Double(tally.bytes)
    // Blocks come one by one: the standard error of their number is its root, and sampling adds its own.
    let own = bytes / Double(tally.count).squareRoot()
    let margin = (own * own + site.standardError * site.standardError).squareRoot() * Self.standardErrors
    return Comparison.Rate(
      value: bytes / units, low: max(0, bytes - margin) / units, high: (bytes + margin) / units)
  }

  func units(of recording: ComparedRecording, work: Double?) -> Double {
    work.map { max($0, .leastNonzeroMagnitude) } ?? recording.seconds
  }
}
