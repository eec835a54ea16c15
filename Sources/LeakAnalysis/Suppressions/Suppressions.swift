import TraceModel

/// The rules of all suppressions files, and how often each was of use.
package struct Suppressions: Sendable {
  package private(set) var rules: [Suppression] = []
  private var matched: [Tally] = []

  package init() {}

  package var isEmpty: Bool { rules.isEmpty }

  /// Adds the rules of a file; earlier rules are tried first.
  package mutating func add(_ text: String, file: String) throws(SuppressionError) {
    var parser = SuppressionParser(text, file: file)
    let added = try parser.parse()
    rules += added
    matched += added.map { _ in Tally() }
  }

  /// The rules that matched something, in their order.
  package var uses: [SuppressionUse] {
    zip(rules, matched).compactMap { rule, tally in
      tally.count > 0 ? SuppressionUse(pattern: rule.name, matched: tally) : nil
    }
  }

  /// Takes suppressed blocks of the given kinds out of a site.
  ///
  /// - Returns: what was taken out, by kind. Counted as a use of the first rule that matches.
  package mutating func suppress(in site: inout AllocationSite, kinds: Set<VerdictKind>) -> [VerdictKind: Tally] {
    var removed: [VerdictKind: Tally] = [:]
    for kind in VerdictKind.allCases where kinds.contains(kind) {
      guard let tally = site.verdicts[kind], tally.count > 0,
        let rule = rules.firstIndex(where: { $0.matches(site, kind: kind) })
      else { continue }
      matched[rule] += tally
      removed[kind] = tally
      // The entry stays, with nothing in it: a site without any kind would count as unchecked.
      site.verdicts[kind] = Tally()
      site.allocations.removeAll { $0.verdict?.kind == kind }
      if kind == .stillReachable {
        site.holders = [:]
        site.heldBy = nil
      }
    }
    let losesOthers = [VerdictKind.definitelyLost, .possiblyLost].contains { (site.verdicts[$0]?.count ?? 0) > 0 }
    if !losesOthers { site.keeps = Tally() }
    return removed
  }
}
