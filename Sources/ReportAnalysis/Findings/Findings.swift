import TraceModel

/// The findings of a report in the order in which they are to be looked at: what leaks, the fastest first; what is lost
/// without growing, the largest first; what is unclear; and at last what is bounded.
package struct Findings: Sendable {
  package var list: [Finding]
  /// What grows, added up.
  package var growth: GrowthRate?
  package var missing: MissingRecords
  /// What of the outstanding memory the findings are made of.
  package var covered: Tally

  package init(_ report: Report, roles: FrameRoles = FrameRoles()) {
    missing = MissingRecords(report)
    var folder = FindingFolder(report: report, roles: roles, missing: missing)
    list = folder.fold()
    covered = report.sites.reduce(into: Tally()) { $0 += $1.outstanding }
    growth = GrowthRate.sum(list.filter(\.countsAsGrowth).compactMap(\.rate))
    let whole = list.reduce(0.0) { $0 + ($1.countsAsGrowth ? max(0, $1.rate?.bytesPerSecond ?? 0) : 0) }
    if whole > 0 {
      for index in list.indices where list[index].countsAsGrowth {
        list[index].shareOfGrowth = max(0, list[index].rate?.bytesPerSecond ?? 0) / whole
      }
    }
    list.sort { Self.isBefore($0, $1) }
  }

  /// The names break ties, so that two reports of the same state are the same.
  private static func isBefore(_ left: Finding, _ right: Finding) -> Bool {
    if left.rank != right.rank { return left.rank < right.rank }
    let amounts = (left.amount, right.amount)
    if amounts.0 != amounts.1 { return amounts.0 > amounts.1 }
    if left.held.bytes != right.held.bytes { return left.held.bytes > right.held.bytes }
    return (left.place.function ?? "", left.place.line ?? 0, left.place.offset ?? 0)
      < (right.place.function ?? "", right.place.line ?? 0, right.place.offset ?? 0)
  }
}

extension Finding {
  /// Whether its rate is part of the whole growth: it grows, or it is lost and surely becomes more.
  var countsAsGrowth: Bool {
    guard doubt == nil, let rate, rate.bytesPerSecond > 0 else { return false }
    return isGrowing || (kind == .definitelyLost && rate.lower > 0)
  }

  /// 0 for what becomes more, then what is lost, what is unclear, and what is bounded.
  fileprivate var rank: Int {
    if doubt != nil { return 5 }
    switch kind {
    case .definitelyLost, .growing: return countsAsGrowth || kind == .growing ? 0 : 1
    case .possiblyLost: return 2
    case .unclear: return 3
    case .plateau, .startup: return 4
    }
  }

  fileprivate var amount: Double {
    switch rank {
    case 0: rate?.bytesPerSecond ?? 0
    case 1: Double(lost.bytes)
    default: Double(held.bytes)
    }
  }
}
