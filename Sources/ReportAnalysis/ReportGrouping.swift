import TraceModel

/// Puts the sites of a report together by something other than their whole stack.
package enum ReportGrouping: String, CaseIterable, Sendable {
  /// The function that called the allocator.
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

  package func apply(to report: Report) -> Report {
    var report = report
    let processes = Dictionary(report.processes.map { ($0.processID, $0) }, uniquingKeysWith: { first, _ in first })
    report.sites = ReportMerge.merged(
      report.sites.map { site in
        var site = site
        let frame = frame(for: site, processes)
        site.frames = [frame]
        site.stack = StackTrace(addresses: [frame.address], completeness: site.stack.completeness)
        site.growth = nil
        if self != .thread {
          site.threadID = nil
          site.threadName = nil
        }
        return site
      })
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return report
  }

  private func frame(for site: AllocationSite, _ processes: [Int32: Report.ProcessTotals]) -> Frame {
    let leaf = site.frames.first ?? Frame(address: site.stack.addresses.first ?? 0, unresolved: .noSymbol)
    var frame = Frame(address: 0)
    switch self {
    case .function:
      frame = leaf
      frame.line = nil
    case .module:
      frame.function = leaf.module?.split(separator: "/").last.map(String.init) ?? "[unknown]"
      frame.module = leaf.module
    case .line:
      frame = leaf
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
