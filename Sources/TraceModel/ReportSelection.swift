/// Which stacks of a report are shown to people. A report holds all that was recorded; a selection applies when it is shown.
package struct ReportSelection: Hashable, Codable, Sendable {
  /// Of processes that were checked for leaks: stacks that have blocks of these kinds. nil: all stacks.
  package var kinds: Set<VerdictKind>?
  /// Stacks that grow, too, whatever reaches their blocks.
  package var includesGrowing: Bool

  package init(kinds: Set<VerdictKind>? = nil, includesGrowing: Bool = true) {
    self.kinds = kinds
    self.includesGrowing = includesGrowing
  }

  /// Everything.
  package static let all = ReportSelection()

  /// Whether a stack is shown.
  ///
  /// - Parameter verdicts: of its blocks; nil when its process was not checked.
  package func shows(verdicts: [VerdictKind: Tally]?, isGrowing: Bool) -> Bool {
    guard let kinds, let verdicts else { return true }
    return includesGrowing && isGrowing || kinds.contains { (verdicts[$0]?.count ?? 0) > 0 }
  }
}

extension Report {
  /// The same report with those stacks only that a selection shows. The sums stay those of everything; what is left out is
  /// counted in `leftOut`.
  package func selected(_ selection: ReportSelection) -> Report {
    guard let kinds = selection.kinds else { return self }
    let checked = Set(leakChecks.map(\.processID))
    var report = self
    report.sites = []
    for var site in sites {
      let isChecked = checked.contains(site.processID)
      if selection.shows(verdicts: isChecked ? site.verdicts : nil, isGrowing: site.isGrowing) {
        if isChecked, !(selection.includesGrowing && site.isGrowing) {
          site.allocations.removeAll { $0.verdict.map { !kinds.contains($0.kind) } ?? false }
        }
        report.sites.append(site)
      } else {
        report.leftOutSites += 1
        report.leftOut += site.outstanding
      }
    }
    return report
  }
}

extension AllocationSite {
  /// Whether its memory surely grows, by itself or together with other stacks of the same own frame.
  package var isGrowing: Bool { growth?.word == .growing || ownGrowth?.word == .growing }
}
