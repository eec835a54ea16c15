import TraceModel

/// What a leak check says of the blocks of one site. While sampling, blocks count with their weights.
struct VerdictSums {
  private struct Sum {
    var bytes = 0.0
    var count = 0.0
    var tally: Tally { Tally(bytes: UInt64(bytes.rounded()), count: UInt64(count.rounded())) }
  }

  /// One sum for each kind of verdict, at the kind's `place`.
  private var kinds = [Sum](repeating: Sum(), count: VerdictKind.allCases.count)
  private var holderSums: [String: Sum] = [:]
  private(set) var keeps = Tally()

  func bytes(of kind: VerdictKind) -> UInt64 { kinds[kind.place].tally.bytes }

  /// Bytes of definitely and indirectly lost blocks, and of what is lost along with them.
  var lostBytes: UInt64 { bytes(of: .definitelyLost) &+ bytes(of: .indirectlyLost) &+ keeps.bytes }

  mutating func add(_ verdict: BlockVerdict, bytes: Double, count: Double) {
    kinds[verdict.kind.place].bytes += bytes
    kinds[verdict.kind.place].count += count
    keeps += verdict.keeps
    if let holder = verdict.holder {
      holderSums[holder, default: Sum()].bytes += bytes
      holderSums[holder, default: Sum()].count += count
    }
  }

  /// All outstanding blocks of a site by verdict. Those that came after the blocks were looked at are unchecked.
  func tallies(outstanding: Tally) -> [VerdictKind: Tally] {
    var tallies: [VerdictKind: Tally] = [:]
    for kind in VerdictKind.allCases { tallies[kind] = kinds[kind.place].tally }
    let known = tallies.values.reduce(into: Tally()) { $0 += $1 }
    let rest = Tally(
      bytes: outstanding.bytes - min(outstanding.bytes, known.bytes),
      count: outstanding.count - min(outstanding.count, known.count))
    if rest.count > 0 || rest.bytes > 0 { tallies[.unchecked, default: Tally()] += rest }
    return tallies.filter { $0.value.count > 0 || $0.value.bytes > 0 }
  }

  var holders: [String: Tally] { holderSums.mapValues(\.tally) }
}
