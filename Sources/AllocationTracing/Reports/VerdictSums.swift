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

  /// All outstanding blocks of a site by verdict, which add up to what is outstanding. Blocks are looked at after the sums
  /// were read: what was freed or came in between is `unchecked`.
  func tallies(outstanding: Tally) -> [VerdictKind: Tally] {
    var tallies: [VerdictKind: Tally] = [:]
    var rest = outstanding
    for kind in VerdictKind.allCases where kind != .unchecked {
      let known = kinds[kind.place].tally
      let part = Tally(bytes: min(known.bytes, rest.bytes), count: min(known.count, rest.count))
      rest -= part
      tallies[kind] = part
    }
    tallies[.unchecked] = rest
    return tallies.filter { $0.value.count > 0 || $0.value.bytes > 0 }
  }

  var holders: [String: Tally] { holderSums.mapValues(\.tally) }
}
