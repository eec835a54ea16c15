/// One process's part of a site that sums up several processes.
package struct SiteShare: Hashable, Codable, Sendable {
  package var processID: Int32
  package var outstanding: Tally
  package var allocated: Tally
  package var freed: Tally
  package var growth: GrowthEvidence?

  package init(_ site: AllocationSite) {
    processID = site.processID
    outstanding = site.outstanding
    allocated = site.allocated
    freed = site.freed
    growth = site.growth
  }

  /// What two sites hold by process, the largest first; nil where all of it is one process's.
  package static func added(_ first: AllocationSite, _ second: AllocationSite) -> [SiteShare]? {
    var sum = first.shares ?? [SiteShare(first)]
    for share in second.shares ?? [SiteShare(second)] {
      if let known = sum.firstIndex(where: { $0.processID == share.processID }) {
        sum[known].outstanding += share.outstanding
        sum[known].allocated += share.allocated
        sum[known].freed += share.freed
        // What is known of one site says nothing of the sum.
        if sum[known].growth != share.growth { sum[known].growth = nil }
      } else {
        sum.append(share)
      }
    }
    if sum.count == 1 { return nil }
    return sum.sorted { ($0.outstanding.bytes, $1.processID) > ($1.outstanding.bytes, $0.processID) }
  }
}
