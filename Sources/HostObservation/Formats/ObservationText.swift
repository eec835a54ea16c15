import Quantities
import ReportFormats
import TextOutput

/// An observation for people.
package enum ObservationText {
  /// - Parameter sparklines: whether the reader's terminal shows them.
  package static func render(_ report: ObservationReport, sparklines: Bool) -> String {
    var text =
      "leaktrace: observed for \(report.duration.text), \(report.samples) samples; "
      + SeriesKey.Kind.allCases.compactMap { kind in report.counts[kind].map { "\($0) \(plural(kind, $0))" } }
      .joined(separator: ", ") + "\n"
    text += "  memory: \(size(report.availableBytes)) of \(size(report.totalBytes)) available\n"
    for note in report.notes { text += "  note: \(escapedForTerminal(note))\n" }
    let growing = report.growing
    if growing.isEmpty {
      text += "\nNothing grows by more than moves at random. The largest:\n"
    } else {
      text += "\n\(growing.count) \(growing.count == 1 ? "series grows" : "series grow"), by risk:\n"
    }
    text += table(report.entries, sparklines: sparklines)
    for entry in growing.prefix(3) { text += advice(entry) }
    return text
  }

  private static func table(_ entries: [ObservationReport.Entry], sparklines: Bool) -> String {
    var rows = [["", "WHAT", "NAME", "SIZE", "PER HOUR", "99% INTERVAL", "SHARE", "LIMIT IN", "TREND", "GROWS BY"]]
    for (place, entry) in entries.enumerated() {
      let series = entry.series
      let judgement = series.judgement
      let grows = judgement.word == .growing
      rows.append([
        "\(place + 1)", series.key.kind.rawValue, name(series), size(series.bytes),
        grows ? rate(judgement.slope) : "-",
        grows ? "\(rate(judgement.lowerSlope)) … \(rate(judgement.upperSlope))" : "-",
        grows ? "\(Int((series.share * 100).rounded())) %" : "-",
        series.secondsToLimit.map { Duration.forecastText(seconds: $0) } ?? "-",
        judgement.word.rawValue + (series.isReclaimable && grows ? " (cache)" : ""),
        grows ? series.kinds.prefix(2).map(\.kind.rawValue).joined(separator: ", ") : "-",
      ])
    }
    var widths = [Int](repeating: 0, count: rows[0].count)
    for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
    var text = ""
    for (place, row) in rows.enumerated() {
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        let isNumber = [0, 3, 4, 6, 7].contains(column)
        line += (column == 0 ? "" : "  ") + (isNumber ? padding + cell : cell + padding)
      }
      if sparklines, place > 0 { line += "  " + Sparkline.draw(entries[place - 1].series.points.bytes, width: 24) }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    return text
  }

  private static func advice(_ entry: ObservationReport.Entry) -> String {
    guard let next = entry.next else { return "" }
    let series = entry.series
    var text = "\n\(series.key.kind.rawValue) \(name(series))"
    if let owner = series.owner { text += " of \(owner.kind.rawValue) \(escapedForTerminal(owner.name))" }
    if let limit = series.limit, let seconds = series.secondsToLimit {
      text +=
        ": \(size(limit.left)) left until \(escapedForTerminal(limit.name)), \(Duration.forecastText(seconds: seconds)) at this rate"
    }
    text += "\n  next:     \(escapedForTerminal(next.command))\n            \(escapedForTerminal(next.reason))\n"
    if let mitigation = next.mitigation { text += "  meanwhile: \(escapedForTerminal(mitigation))\n" }
    return text
  }

  private static func name(_ series: RankedSeries) -> String {
    let name = escapedForTerminal(series.key.name)
    let text = series.command.map { "\(name) \(escapedForTerminal($0))" } ?? name
    return text.count <= 44 ? text : "…" + text.suffix(43)
  }

  private static func plural(_ kind: SeriesKey.Kind, _ count: Int) -> String {
    switch kind {
    case .process: count == 1 ? "process" : "processes"
    case .cgroup: count == 1 ? "cgroup" : "cgroups"
    case .slabCache: count == 1 ? "slab cache" : "slab caches"
    case .vmalloc: "vmalloc callers"
    case .kernel: "accounts of the kernel"
    case .tmpfs: "tmpfs"
    case .sharedSegment: "shared memory segments"
    }
  }

  static func size(_ bytes: UInt64) -> String { ByteSize.text(bytes, unit: "B") }

  private static func rate(_ bytesPerSecond: Double) -> String {
    ByteRate(bytesPerSecond: bytesPerSecond).cell(per: .hour)
  }
}
