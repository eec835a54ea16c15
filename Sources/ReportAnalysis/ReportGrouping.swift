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

  package func apply(to report: Report) -> Report {
    var report = report
    let commands = Dictionary(
      report.processes.map { ($0.processID, $0.command) }, uniquingKeysWith: { first, _ in first })
    report.sites = ReportMerge.merged(
      report.sites.map { site in
        var site = site
        let frame = frame(for: site, commands: commands)
        site.frames = [frame]
        site.stack = StackTrace(addresses: [frame.address], completeness: site.stack.completeness)
        site.growth = nil
        return site
      })
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return report
  }

  private func frame(for site: AllocationSite, commands: [Int32: String]) -> Frame {
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
      frame.function = "\(commands[site.processID] ?? "process") (\(site.processID))"
    }
    frame.isInlined = false
    frame.functionOffset = nil
    return frame
  }
}
