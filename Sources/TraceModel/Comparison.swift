import Quantities

/// What became of the leaks of one recording in another.
package struct Comparison: Hashable, Codable, Sendable {
  /// What amounts are divided by, so that runs of different length can be compared.
  package enum Normalization: Hashable, Codable, Sendable {
    case perSecond
    /// By units of work, such as requests served.
    case perWork(before: Double, after: Double)
    /// One process under rounds of the same load; by units of work where it is known how many a round has.
    case perRound(count: Int, work: Double?)
  }

  /// What is compared at a site.
  package enum Measure: String, Hashable, Codable, Sendable {
    /// Definitely and indirectly lost bytes: both recordings have a leak check.
    case lost
    /// How fast outstanding bytes grow: both recordings are long enough to tell.
    case growth
    /// Outstanding bytes: nothing better is known.
    case outstanding
  }

  package enum Verdict: String, Hashable, Codable, Sendable, CaseIterable {
    case new, worse, unchanged, improved, fixed
    /// The recordings do not tell; the site has the reason.
    case unclear
    /// Under rounds of load: outstanding memory grows with each round.
    case growing
    /// Under rounds of load: it changes, and does not go on growing.
    case returns
  }

  /// An amount per unit, with the interval that it lies in at the confidence of the comparison.
  package struct Rate: Hashable, Codable, Sendable {
    package var value: Double
    package var low: Double
    package var high: Double
    package init(value: Double, low: Double, high: Double) {
      self.value = value
      self.low = low
      self.high = high
    }
  }

  package struct Site: Hashable, Codable, Sendable {
    /// Leaf first, without addresses.
    package var frames: [Frame]
    package var allocator: String
    package var verdict: Verdict
    /// Bytes per unit.
    package var before: Rate
    package var after: Rate
    package var beforeTally: Tally
    package var afterTally: Tally
    /// Whether it still counts as a leak after: above the threshold, and not only memory that is held.
    package var isLeaking: Bool
    /// Why it has its verdict, as a sentence for people; nil where the amounts say it.
    package var reason: String?

    package init(
      frames: [Frame], allocator: String, verdict: Verdict, before: Rate, after: Rate, beforeTally: Tally,
      afterTally: Tally, isLeaking: Bool
    ) {
      self.frames = frames
      self.allocator = allocator
      self.verdict = verdict
      self.before = before
      self.after = after
      self.beforeTally = beforeTally
      self.afterTally = afterTally
      self.isLeaking = isLeaking
    }
  }

  package var normalization: Normalization
  package var measure: Measure
  /// 0 to 1.
  package var confidence: Double
  /// Bytes per unit that a site may have without counting as a leak.
  package var threshold: Double
  /// Worst first.
  package var sites: [Site]
  package var before: Rate
  package var after: Rate
  package var notes: [String]
  /// Why the recordings allow no answer at all: they are of different programs, or records are missing.
  package var refusals: [String] = []
  /// Why it cannot be said that nothing leaks, where nothing is seen to leak.
  package var doubts: [String] = []

  /// What it all comes to.
  package enum Answer: String, Hashable, Codable, Sendable, CaseIterable {
    case nothingLeaks = "nothing_leaks"
    case leaking
    /// The data do not support either of the others.
    case cannotTell = "cannot_tell"
  }

  package var answer: Answer {
    if !refusals.isEmpty { return .cannotTell }
    if sites.contains(where: \.isLeaking) { return .leaking }
    return doubts.isEmpty && unclearSites.isEmpty ? .nothingLeaks : .cannotTell
  }

  /// Those of which it is not known whether they leak.
  package var unclearSites: [Site] { sites.filter { $0.verdict == .unclear && !$0.isLeaking } }

  /// Why the answer is `cannotTell`, in a few sentences; empty for other answers.
  package var reasons: [String] {
    guard answer == .cannotTell else { return [] }
    if !refusals.isEmpty { return refusals }
    let unclear = unclearSites.count
    guard unclear > 0 else { return doubts }
    return doubts + ["\(counted(unclear, "call stack")) of which the recordings do not tell what became of them"]
  }

  /// Whether this is about rounds of load rather than about two recordings: then `before` is after the warm-up.
  package var isOfRounds: Bool { if case .perRound = normalization { true } else { false } }

  /// Whether nothing leaks any more.
  package var hasPassed: Bool { answer == .nothingLeaks }

  package init(
    normalization: Normalization, measure: Measure, confidence: Double, threshold: Double, sites: [Site],
    before: Rate, after: Rate, notes: [String] = []
  ) {
    self.normalization = normalization
    self.measure = measure
    self.confidence = confidence
    self.threshold = threshold
    self.sites = sites
    self.before = before
    self.after = after
    self.notes = notes
  }
}
