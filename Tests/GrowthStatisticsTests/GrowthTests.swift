import Testing
import TraceModel

@testable import GrowthStatistics

/// The word for courses of memory whose truth is known, each in several random forms.
@Suite struct GrowthTests {
  static let seeds: ClosedRange<UInt64> = 1...4

  @Test(arguments: GrowthWorkloads.leaks.map(\.name)) func leaks(name: String) throws {
    try check(name, GrowthWorkloads.leaks)
  }

  @Test(arguments: GrowthWorkloads.benign.map(\.name)) func benign(name: String) throws {
    try check(name, GrowthWorkloads.benign)
  }

  private func check(_ name: String, _ cases: [GrowthWorkloads.Case]) throws {
    let workload = try #require(cases.first { $0.name == name })
    for seed in Self.seeds {
      var work = SyntheticWorkload(run: workload.seconds, seed: seed)
      workload.build(&work)
      let evidence = try #require(work.evidence())
      #expect(workload.allowed.contains(evidence.word), "seed \(seed): \(evidence)")
    }
  }
}
