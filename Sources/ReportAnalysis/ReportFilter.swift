import TraceModel

/// Which sites and frames of a report are kept; the words and their meaning are pprof's.
package struct ReportFilter {
  /// Sites with a frame that matches.
  package var focus: NamePattern?
  /// Sites with a frame that matches are left out.
  package var ignore: NamePattern?
  /// Frames that match are taken out of stacks.
  package var hide: NamePattern?
  /// Callers of the outermost frame that matches are taken out; sites without such a frame too.
  package var showFrom: NamePattern?
  /// Keeps only blocks of these kinds; all kinds when it is empty.
  package var kinds: Set<VerdictKind> = []

  package init() {}

  package func apply(to report: Report) -> Report {
    var report = report
    var sites: [AllocationSite] = []
    for site in report.sites {
      guard var kept = keptBlocks(of: site) else { continue }
      if let focus, !kept.frames.contains(where: focus.matches) { continue }
      if let ignore, kept.frames.contains(where: ignore.matches) { continue }
      if let showFrom {
        guard let outermost = kept.frames.lastIndex(where: showFrom.matches) else { continue }
        kept.frames.removeSubrange((outermost + 1)...)
      }
      if let hide { kept.frames.removeAll(where: hide.matches) }
      if kept.frames.count != site.frames.count {
        kept.stack.addresses = kept.frames.filter { !$0.isInlined }.map(\.address)
      }
      sites.append(kept)
    }
    // Sites whose stacks are equal once frames have been taken out become one.
    report.sites = focus == nil && hide == nil && showFrom == nil ? sites : ReportMerge.merged(sites)
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    report.totals.outstanding = report.sites.reduce(into: Tally()) { $0 += $1.outstanding }
    return report
  }

  private func keptBlocks(of site: AllocationSite) -> AllocationSite? {
    guard !kinds.isEmpty else { return site }
    var site = site
    site.verdicts = site.verdicts.filter { kinds.contains($0.key) && $0.value.count > 0 }
    guard !site.verdicts.isEmpty else { return nil }
    site.outstanding = site.verdicts.values.reduce(into: Tally()) { $0 += $1 }
    site.allocations = site.allocations.filter { kinds.contains($0.verdict?.kind ?? .unchecked) }
    return site
  }
}

/// A regular expression over the names of frames. Each name is looked at once.
package final class NamePattern {
  private let expression: Regex<AnyRegexOutput>
  private var known: [String: Bool] = [:]

  /// Throws when the text is no regular expression.
  package init(_ text: String) throws { expression = try Regex(text) }

  /// Whether the function, the module or the file of a frame matches somewhere.
  package func matches(_ frame: Frame) -> Bool {
    [frame.function, frame.module, frame.file].contains { $0.map(matches) ?? false }
  }

  private func matches(_ name: String) -> Bool {
    if let answer = known[name] { return answer }
    let answer = (try? expression.firstMatch(in: name)) != nil
    known[name] = answer
    return answer
  }
}
