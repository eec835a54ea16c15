import TraceModel

/// How many sites of one report are shown in different places.
package enum ReportLimit {
  /// What is enough for every place; nil: all sites.
  package static func largest(of limits: [Int?]) -> Int? {
    limits.contains(nil) ? nil : limits.compactMap(\.self).max()
  }
}

extension Report {
  /// The same report with the first `limit` of its sites only; nil: with all of them. Sums and counts are of all sites.
  ///
  /// - Parameter isExempt: sites that do not count and stay in any case.
  package func limited(to limit: Int?, exempt isExempt: (AllocationSite) -> Bool = { _ in false }) -> Report {
    guard let limit else { return self }
    var report = self
    var count = 0
    var beyond = beyondLimit ?? Omission()
    report.sites.removeAll { site in
      if isExempt(site) { return false }
      count += 1
      guard count > limit else { return false }
      beyond.sites += 1
      beyond.outstanding += site.outstanding
      return true
    }
    report.beyondLimit = beyond.sites > 0 ? beyond : nil
    return report
  }
}
