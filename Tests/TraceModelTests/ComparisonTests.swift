import Testing

@testable import TraceModel

@Suite struct ComparisonTests {
  private func site(_ verdict: Comparison.Verdict, isLeaking: Bool) -> Comparison.Site {
    let rate = Comparison.Rate(value: 1, low: 0, high: 2)
    return Comparison.Site(
      frames: [], allocator: "malloc", verdict: verdict, before: rate, after: rate, beforeTally: Tally(),
      afterTally: Tally(), isLeaking: isLeaking)
  }

  private func comparison(
    _ sites: [Comparison.Site], _ normalization: Comparison.Normalization = .perSecond
  ) -> Comparison {
    let rate = Comparison.Rate(value: 0, low: 0, high: 0)
    return Comparison(
      normalization: normalization, measure: .growth, confidence: 0.95, threshold: 0, sites: sites, before: rate,
      after: rate)
  }

  /// What the exit code of `verify` says.
  @Test func passesWhenNothingLeaksAnyMore() {
    #expect(comparison([]).hasPassed)
    #expect(comparison([site(.fixed, isLeaking: false), site(.improved, isLeaking: false)]).hasPassed)
    #expect(!comparison([site(.fixed, isLeaking: false), site(.new, isLeaking: true)]).hasPassed)
  }

  @Test func rounds() {
    #expect(comparison([], .perRound(count: 5, work: nil)).isOfRounds)
    #expect(!comparison([], .perWork(before: 1, after: 2)).isOfRounds)
  }
}
