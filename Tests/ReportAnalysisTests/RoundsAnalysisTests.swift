import Testing
import TraceModel

@testable import ReportAnalysis

@Suite struct RoundsAnalysisTests {
  /// One report for each round, of sites by name with what each holds after it.
  private func analyze(
    _ courses: KeyValuePairs<String, [UInt64]>, threshold: Double = 0, work: Double? = nil
  ) -> Comparison {
    var analysis = RoundsAnalysis()
    analysis.threshold = threshold
    analysis.workPerRound = work
    let rounds = courses.first!.value.count
    return analysis.analyze(
      (0..<rounds).map { round in
        // A site that holds nothing is in no report.
        report(
          courses.compactMap { $0.value[round] == 0 ? nil : ([$0.key, "main"], $0.value[round], $0.value[round] / 10) })
      })
  }

  @Test func steadyLeakIsExact() {
    let result = analyze([
      "leak": [100, 200, 300, 400, 500, 600, 700, 800, 900], "base": Array(repeating: 5000, count: 9),
    ])
    #expect(!result.hasPassed)
    #expect(result.sites.count == 1)
    #expect(result.sites[0].verdict == .growing)
    #expect(result.sites[0].after == Comparison.Rate(value: 100, low: 100, high: 100))
    #expect(result.sites[0].beforeTally == Tally(bytes: 100, count: 10))
    #expect(result.sites[0].afterTally == Tally(bytes: 900, count: 90))
    #expect(result.after.value == 100)
    #expect(result.normalization == .perRound(count: 8, work: nil))
    #expect(result.notes.contains("1 call stack holds the same after every round"))
  }

  @Test func perUnitOfWork() {
    let result = analyze(["leak": [0, 640, 1280, 1920]], work: 64)
    #expect(result.sites[0].after.value == 10)
    #expect(result.sites[0].isLeaking)
  }

  @Test func thresholdAllowsSlowGrowth() {
    #expect(analyze(["leak": [0, 10, 20, 30, 40]], threshold: 10).hasPassed)
    #expect(!analyze(["leak": [0, 11, 22, 33, 44]], threshold: 10).hasPassed)
  }

  @Test(
    arguments: [
      [100, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000],  // a cache filled in the first round
      [100, 4000, 6000, 7000, 7500, 7700, 7800, 7850, 7850],  // one that fills ever more slowly
      [500, 900, 300, 800, 400, 900, 200, 700, 500],  // goes up and down
      [900, 800, 700, 600, 500, 400, 300, 200, 100],  // given back
      [500, 500, 500, 500, 500, 500, 500, 500, 900],  // one block at the end
    ] as [[UInt64]]) func memoryThatReturns(course: [UInt64])
  {
    let result = analyze(["site": course])
    #expect(result.hasPassed, "\(result.sites.map(\.after))")
    #expect(result.sites.map(\.verdict) == [.returns])
  }

  @Test(
    arguments: [
      [0, 130, 170, 330, 380, 520, 560, 730, 790],  // uneven
      [0, 0, 400, 400, 800, 800, 1200, 1200, 1600],  // every second round
      [9000, 9100, 9200, 9300, 9400, 9500, 9600, 9700, 9800],  // on top of much else
    ] as [[UInt64]]) func memoryThatDoesNot(course: [UInt64])
  {
    #expect(analyze(["site": course]).sites.map(\.verdict) == [.growing])
  }

  @Test func worstFirst() {
    let result = analyze(["small": [0, 10, 20, 30], "big": [0, 100, 200, 300], "none": [7, 90, 10, 50]])
    #expect(result.sites.map { $0.frames[0].function } == ["big", "small", "none"])
  }
}
