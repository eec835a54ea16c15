import Quantities
import TextOutput
import TraceModel

/// A table with one row per site, as RFC 4180 has it.
package enum CSVReport {
  package static let format = ReportFormat(name: "csv", summary: "one row per call stack, for spreadsheets") {
    report, _ in render(report)
  }

  private static let columns =
    [
      "pid", "command", "class", "allocator", "outstanding_bytes", "outstanding_count", "allocated_bytes",
      "allocated_count", "freed_bytes", "freed_count", "oldest_age_seconds",
    ] + VerdictKind.checked.flatMap { ["\($0.rawValue)_bytes", "\($0.rawValue)_count"] } + [
      "growth", "growth_bytes_per_second", "cache", "function", "module", "file", "line", "stack",
    ]

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    output.write(columns.joined(separator: ",") + "\r\n")
    let commands = Dictionary(
      report.processes.map { ($0.processID, $0.command) }, uniquingKeysWith: { first, _ in first })
    // As in the middle and at the beginning of a quoted cell, without its quotes.
    let names = FrameCache { frame in Self.inner("." + frame.plainName).dropFirst() }
    let firstNames = FrameCache { frame in Self.inner(frame.plainName) }
    let start = output.bytes.count
    for (position, site) in report.sites.enumerated() {
      if position == 200 { output.expectRest(since: start, done: 200, of: report.sites.count) }
      output.write(row(site, command: commands[site.processID]))
      output.write(",\"")
      for (index, frame) in site.shownFrames.enumerated() {
        if index > 0 { output.write(" < ") }
        output.write(index == 0 ? firstNames[frame] : String(names[frame]))
      }
      output.write("\"\r\n")
    }
    return output.bytes
  }

  private static func row(_ site: AllocationSite, command: String?) -> String {
    var cells = [
      "\(site.processID)", csvCell(command ?? ""), site.allocationClass.rawValue, csvCell(site.allocator),
    ]
    for tally in [site.outstanding, site.allocated, site.freed] { cells += ["\(tally.bytes)", "\(tally.count)"] }
    cells.append(site.oldestAge.map(\.decimalSeconds) ?? "")
    for kind in VerdictKind.checked {
      let tally = site.verdicts[kind]
      cells += [tally.map { "\($0.bytes)" } ?? "", tally.map { "\($0.count)" } ?? ""]
    }
    cells += [site.growth?.word.rawValue ?? "", site.growth.map { "\($0.slopeInBytesPerSecond)" } ?? ""]
    cells.append(csvCell(site.kernel?.cache ?? ""))
    let leaf = site.shownFrames.first
    cells += [
      csvCell(leaf?.plainName ?? ""), csvCell(leaf?.module ?? ""), csvCell(leaf?.file ?? ""),
      leaf?.line.map { "\($0)" } ?? "",
    ]
    return cells.joined(separator: ",")
  }

  private static func inner(_ name: String) -> String { String(csvCell(name, quoted: true).dropFirst().dropLast()) }
}
