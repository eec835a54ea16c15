import Quantities
import TraceModel

/// Tells from the reports after each of several rounds of the same load which memory does not come back.
package struct RoundsAnalysis {
  /// Bytes per round, or per unit of work, that a call stack may grow by.
  package var threshold = 0.0
  /// Units of work in a round; nil: amounts are per round.
  package var workPerRound: Double?

  /// Fewer rounds show no trend.
  package static let minimumRounds = 3
  private static let confidence = 0.95

  package init() {}

  /// - Parameter reports: after the warm-up and after each round, of one process with its children; at least
  ///   `minimumRounds` + 1.
  package func analyze(_ reports: [Report]) -> Comparison {
    var series: [SiteSignature: [Tally]] = [:]
    var examples: [SiteSignature: AllocationSite] = [:]
    for (round, report) in reports.enumerated() {
      for site in ReportMerge.merged(report.sites) {
        let signature = SiteSignature(site)
        series[signature, default: Array(repeating: Tally(), count: reports.count)][round] += site.outstanding
        examples[signature] = site
      }
    }
    var sites: [Comparison.Site] = []
    var constant = 0
    for (signature, tallies) in series {
      guard let example = examples[signature], let growth = growth(tallies) else {
        constant += 1
        continue
      }
      let grows = growth.low > threshold && keepsGrowing(tallies)
      sites.append(
        Comparison.Site(
          frames: example.frames, allocator: example.allocator, verdict: grows ? .growing : .returns,
          before: Comparison.Rate(value: 0, low: 0, high: 0), after: growth, beforeTally: tallies[0],
          afterTally: tallies[tallies.count - 1], isLeaking: grows))
    }
    sites.sort { ($0.isLeaking ? 1 : 0, $0.after.value) > ($1.isLeaking ? 1 : 0, $1.after.value) }
    let totals = reports.map(\.totals.outstanding)
    let none = Comparison.Rate(value: 0, low: 0, high: 0)
    return Comparison(
      normalization: .perRound(count: reports.count - 1, work: workPerRound), measure: .growth,
      confidence: Self.confidence, threshold: threshold, sites: sites, before: none, after: growth(totals) ?? none,
      notes: notes(totals: totals, constant: constant))
  }

  /// The mean change from round to round, with Student's interval: exact also where what is held wanders, because then the
  /// changes are independent, not the amounts. nil when nothing changes.
  private func growth(_ tallies: [Tally]) -> Comparison.Rate? {
    guard tallies.contains(where: { $0 != tallies[0] }) else { return nil }
    let amounts = tallies.map { Double($0.bytes) }
    let changes = zip(amounts.dropFirst(), amounts).map { $0 - $1 }
    let count = Double(changes.count)
    let mean = changes.reduce(0, +) / count
    let variance = changes.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    let margin = Self.quantile(degrees: changes.count - 1) * (variance / count).squareRoot()
    let unit = workPerRound ?? 1
    return Comparison.Rate(value: mean / unit, low: (mean - margin) / unit, high: (mean + margin) / unit)
  }

  /// Student's t for 95 % on both sides.
  private static func quantile(degrees: Int) -> Double {
    let table = [
      12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
      2.110, 2.101, 2.093, 2.086,
    ]
    // Beyond, the difference from the normal distribution is below 0.13 and shrinks with the degrees of freedom.
    return degrees <= table.count ? table[degrees - 1] : 1.960 + 2.5 / Double(degrees)
  }

  /// What fills up in the first rounds, such as a cache, and what only moves up and down does not grow: at the end the
  /// second half must be above everything before it.
  private func keepsGrowing(_ tallies: [Tally]) -> Bool {
    let middle = tallies.count / 2
    let earlier = tallies[..<middle].map(\.bytes).max() ?? 0
    let half = tallies[middle...].map(\.bytes)
    guard let first = half.first, let last = half.last, last > first, half.min() ?? 0 >= earlier else { return false }
    // A cache that fills ever more slowly shows up as a second half that rises far less than the first.
    let whole = Double(last) - Double(tallies[0].bytes)
    return Double(last - first) > whole * 0.1
  }

  private func notes(totals: [Tally], constant: Int) -> [String] {
    let course = totals.map { groupedNumber($0.bytes) }.joined(separator: ", ")
    var notes = ["outstanding after the warm-up and each round: " + course]
    if constant > 0 {
      notes.append("\(counted(constant, "call stack")) \(constant == 1 ? "holds" : "hold") the same after every round")
    }
    return notes
  }
}
