/// What a leak check says of a block, from surely lost to not looked at.
package enum VerdictKind: String, Hashable, Codable, Sendable, CaseIterable {
  /// Nothing refers to it. The raw values are the keys of JSON reports.
  case definitelyLost = "definitely_lost"
  /// Only blocks refer to it that are lost themselves.
  case indirectlyLost = "indirectly_lost"
  /// Pointers into its middle refer to it, and none to its start.
  case possiblyLost = "possibly_lost"
  /// The program can reach it.
  case stillReachable = "still_reachable"
  case unchecked = "unchecked"

  /// The position in `allCases`: for sums in an array, where a dictionary would be too slow.
  package var place: Int {
    switch self {
    case .definitelyLost: 0
    case .indirectlyLost: 1
    case .possiblyLost: 2
    case .stillReachable: 3
    case .unchecked: 4
    }
  }

  /// Those that a leak check gives.
  package static let checked: [VerdictKind] = [.definitelyLost, .indirectlyLost, .possiblyLost, .stillReachable]
}

extension [VerdictKind: Tally] {
  /// Definitely and indirectly lost.
  package var lost: Tally {
    var sum = self[.definitelyLost] ?? Tally()
    sum += self[.indirectlyLost] ?? Tally()
    return sum
  }
}
