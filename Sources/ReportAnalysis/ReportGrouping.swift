import TraceModel

/// Puts the sites of a report together by something other than their whole stack.
package struct ReportGrouping: Hashable, Sendable {
  package enum Subject: String, CaseIterable, Sendable {
    /// The function to look at.
    case function
    /// Its object file.
    case module
    /// Its line.
    case line
    /// The process.
    case process
    /// The control group of the process.
    case cgroup
    /// The thread that allocated, by name.
    case thread
  }

  package var subject: Subject
  /// Whether functions, lines and modules are those of the innermost frame, which mostly is an allocator's; otherwise of the
  /// first own frame (``OwnFrame``).
  package var isExact: Bool

  package init(_ subject: Subject, isExact: Bool = false) {
    self.subject = subject
    self.isExact = isExact
  }

  /// What sites have in common that become one.
  private struct Key: Hashable {
    var label: OwnFrame.Place
    var allocationClass: AllocationClass
    var allocator: String
    var cache: String?
  }

  package func apply(to report: Report) -> Report {
    var report = report
    let processes = Dictionary(report.processes.map { ($0.processID, $0) }, uniquingKeysWith: { first, _ in first })
    let roles = FrameRoles()
    var positions: [Key: Int] = [:]
    var groups: [(frame: Frame, sites: [AllocationSite])] = []
    for site in report.sites.flatMap(parts) {
      let frame = frame(for: site, processes, roles)
      let key = Key(
        label: OwnFrame.Place(frame), allocationClass: site.allocationClass, allocator: site.allocator,
        cache: site.kernel?.cache)
      if let known = positions[key] {
        groups[known].sites.append(site)
      } else {
        positions[key] = groups.count
        groups.append((frame, [site]))
      }
    }
    report.sites = groups.compactMap { sum($0.sites, $0.frame) }
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return report
  }

  /// A site that sums up several processes belongs to none of them: by process it is one for each.
  private func parts(of site: AllocationSite) -> [AllocationSite] {
    guard subject == .process || subject == .cgroup, let shares = site.shares else { return [site] }
    return shares.map { share in
      var part = site
      part.processID = share.processID
      part.outstanding = share.outstanding
      part.allocated = share.allocated
      part.freed = share.freed
      part.growth = share.growth
      part.ownGrowth = nil
      part.shares = nil
      // How the verdicts are divided is not known.
      part.verdicts = [:]
      part.keeps = Tally()
      part.holders = [:]
      part.heldBy = nil
      part.freedAt = nil
      part.allocations = []
      return part
    }
  }

  private func sum(_ sites: [AllocationSite], _ frame: Frame) -> AllocationSite? {
    guard var sum = sites.first else { return nil }
    for site in sites.dropFirst() { sum.add(site) }
    sum.frames = [frame]
    sum.stack = StackTrace(addresses: [frame.address], completeness: sum.stack.completeness)
    sum.growth = FindingFolder.growth(of: sites)
    sum.ownGrowth = nil
    sum.course = nil
    if subject != .thread {
      sum.threadID = nil
      sum.threadName = nil
    }
    return sum
  }

  private func frame(
    for site: AllocationSite, _ processes: [Int32: Report.ProcessTotals], _ roles: FrameRoles
  ) -> Frame {
    let leaf = site.frames.first ?? Frame(address: site.stack.addresses.first ?? 0, unresolved: .noSymbol)
    let place = isExact ? leaf : OwnFrame.frame(of: site, roles: roles)
    var frame = Frame(address: 0)
    switch subject {
    case .function:
      frame = place
      frame.line = nil
      frame.file = nil
    case .module:
      frame.function = place.module?.split(separator: "/").last.map(String.init) ?? "[unknown]"
      frame.module = place.module
    case .line:
      frame = place
    case .process:
      frame.function = "\(processes[site.processID]?.command ?? "process") (\(site.processID))"
    case .cgroup:
      frame.function = processes[site.processID]?.controlGroup ?? "[unknown]"
    case .thread:
      frame.function = site.threadName ?? site.threadID.map { "thread \($0)" } ?? "[unknown]"
    }
    frame.isInlined = false
    frame.functionOffset = nil
    return frame
  }
}
