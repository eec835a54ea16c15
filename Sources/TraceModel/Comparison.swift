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

  /// Whether this is about rounds of load rather than about two recordings: then `before` is after the warm-up.
  package var isOfRounds: Bool { if case .perRound = normalization { true } else { false } }

  /// Whether nothing leaks any more.
  package var hasPassed: Bool { !sites.contains(where: \.isLeaking) }

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
