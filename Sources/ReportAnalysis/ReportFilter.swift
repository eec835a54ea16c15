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
    guard isActive else { return report }
    report.filter = Report.Filter(words: words, whole: report.filter?.whole ?? report.totals.outstanding)
    takeSums(of: report.sites, into: &report)
    return report
  }

  private var isActive: Bool { focus != nil || ignore != nil || showFrom != nil || !kinds.isEmpty }

  /// The options that made it, for people.
  private var words: String {
    var words: [String] = []
    for (name, pattern) in [("--focus", focus), ("--ignore", ignore), ("--show-from", showFrom)] {
      if let pattern { words.append("\(name) \(pattern.text)") }
    }
    let names = VerdictKind.allCases.filter(kinds.contains).map(\.optionName)
    if !names.isEmpty { words.append("--kind " + names.joined(separator: ",")) }
    return words.joined(separator: " ")
  }

  /// Every sum of the report becomes that of its sites. What is only known of the whole, such as its course, is taken out.
  private func takeSums(of sites: [AllocationSite], into report: inout Report) {
    let unmatched = report.totals.unmatchedFrees
    report.totals = sum(sites)
    report.totals.unmatchedFrees = unmatched
    for index in report.processes.indices {
      let processID = report.processes[index].processID
      report.processes[index].totals = sum(sites.filter { $0.processID == processID })
    }
    for index in report.leakChecks.indices {
      let own = sites.filter { $0.processID == report.leakChecks[index].processID }
      report.leakChecks[index].kinds = own.reduce(into: [:]) { kinds, site in
        for (kind, tally) in site.verdicts { kinds[kind, default: Tally()] += tally }
      }
      report.leakChecks[index].growing = own.filter(\.isGrowing).reduce(into: Tally()) { sum, site in
        for tally in site.verdicts.values { sum += tally }
        if let before = site.heldBeforeEnd { sum += before }
      }
    }
    report.freedSites = nil
    report.timeline = []
    report.retention = []
    report.unexplained = nil
    report.threads = nil
    report.leftOutSites = 0
    report.leftOut = Tally()
    report.beyondLimit = nil
  }

  private func sum(_ sites: [AllocationSite]) -> Report.Totals {
    var totals = Report.Totals()
    var variance: Double?
    for site in sites {
      totals.outstanding += site.outstanding
      totals.allocated += site.allocated
      totals.freed += site.freed
      if let error = site.outstandingBytesStandardError { variance = (variance ?? 0) + error * error }
    }
    totals.outstandingBytesStandardError = variance?.squareRoot()
    return totals
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
  /// As it was written.
  package let text: String
  private let expression: Regex<AnyRegexOutput>
  private var known: [String: Bool] = [:]

  /// Throws when the text is no regular expression.
  package init(_ text: String) throws {
    self.text = text
    expression = try Regex(text)
  }

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
