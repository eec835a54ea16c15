import KernelStatistics
import Quantities
import ReportFormats
import TextOutput

/// An observation for people.
package enum ObservationText {
  /// - Parameter sparklines: whether the reader's terminal shows them.
  package static func render(_ report: ObservationReport, sparklines: Bool) -> String {
    var text = wrapped(
      "leaktrace: observed for \(report.duration.text), \(report.samples) samples; "
        + SeriesKey.Kind.allCases.compactMap { kind in
          report.counts[kind].map { "\(groupedNumber($0)) \(plural(kind, $0))" }
        }
        .joined(separator: ", "), indent: 2)
    text += "  memory: \(size(report.availableBytes)) of \(size(report.totalBytes)) available\n"
    for note in report.notes { text += wrapped("  note: \(escapedForTerminal(note))", indent: 8) }
    let growing = report.growing
    if growing.isEmpty {
      text += "\nNothing grows by more than moves at random. The largest:\n"
    } else {
      text += "\n\(groupedNumber(growing.count)) \(growing.count == 1 ? "series grows" : "series grow"), by risk:\n"
    }
    text += table(report.entries, sparklines: sparklines)
    for entry in growing.prefix(3) { text += advice(entry) }
    return text
  }

  /// Lines are for a terminal of so many columns, but for commands, which are to be copied as they stand.
  private static let columns = 80
  private static let nameWidth = 22

  /// Broken between words; the lines after the first are indented.
  static func wrapped(_ text: String, indent: Int) -> String {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty, line.contains(where: { $0 != " " }), line.count + 1 + word.count > columns {
        lines.append(line)
        line = String(repeating: " ", count: indent) + word
      } else {
        line += (line.isEmpty && lines.isEmpty && word.isEmpty ? "" : line.isEmpty ? "" : " ") + word
        if line.isEmpty { line = " " }
      }
    }
    lines.append(line)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func table(_ entries: [ObservationReport.Entry], sparklines: Bool) -> String {
    var rows = [["", "WHAT", "NAME", "SIZE", "PER HOUR", "LIMIT IN", "TREND"]]
    for (place, entry) in entries.enumerated() {
      let series = entry.series
      let judgement = series.judgement
      let grows = judgement.word == .growing
      rows.append([
        "\(place + 1)", word(series.key), name(series, limit: nameWidth), size(series.bytes),
        grows ? rate(judgement.slope) : "-", series.secondsToLimit.map { Duration.forecastText(seconds: $0) } ?? "-",
        judgement.word.rawValue,
      ])
    }
    var widths = [Int](repeating: 0, count: rows[0].count)
    for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
    var text = ""
    for (place, row) in rows.enumerated() {
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        let isNumber = [0, 3, 4, 5].contains(column)
        line += (column == 0 ? "" : column == 1 ? " " : "  ") + (isNumber ? padding + cell : cell + padding)
      }
      if sparklines, place > 0 { line += "  " + Sparkline.draw(entries[place - 1].series.points.bytes, width: 24) }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
      if place > 0 { text += details(of: entries[place - 1].series) }
    }
    return text
  }

  /// What is known of something that grows beside its row.
  private static func details(of series: RankedSeries) -> String {
    let judgement = series.judgement
    guard judgement.word == .growing else { return "" }
    var parts = ["99 %: \(rate(judgement.lowerSlope)) to \(rate(judgement.upperSlope))"]
    parts.append("\(Int(saturating: (series.share * 100).rounded())) % of all growth")
    let kinds = series.kinds.prefix(2).map(\.kind.rawValue)
    if !kinds.isEmpty { parts.append("by \(kinds.joined(separator: ", "))") }
    if series.isReclaimable { parts.append("a cache") }
    return wrapped("     " + parts.joined(separator: "; "), indent: 5)
  }

  /// What it is, in few letters. The memory of programs is an account that the kernel keeps, and not the kernel's own.
  private static func word(_ key: SeriesKey) -> String {
    switch key {
    case .kernel(let name): KernelMemory.Kind(rawValue: name)?.isKernel == true ? "kernel" : "host"
    case .slabCache: "slab"
    case .sharedSegment: "shm"
    case .process, .cgroup, .vmalloc, .tmpfs: key.kind.rawValue
    }
  }

  private static func advice(_ entry: ObservationReport.Entry) -> String {
    guard let next = entry.next else { return "" }
    let series = entry.series
    var text = "\(word(series.key)) \(name(series, limit: 60))"
    if let owner = series.owner { text += " of \(owner.kind.rawValue) \(escapedForTerminal(owner.name))" }
    if let limit = series.limit, let seconds = series.secondsToLimit {
      text +=
        ": \(size(limit.left)) left until \(escapedForTerminal(limit.name)), \(Duration.forecastText(seconds: seconds)) at this rate"
    }
    text = "\n" + wrapped(text, indent: 2)
    text += "  next:     \(escapedForTerminal(next.command))\n"
    text += wrapped("            \(escapedForTerminal(next.reason))", indent: 12)
    if let mitigation = next.mitigation { text += "  meanwhile: \(escapedForTerminal(mitigation))\n" }
    return text
  }

  private static func name(_ series: RankedSeries, limit: Int) -> String {
    let name = escapedForTerminal(series.key.name)
    let text = series.command.map { "\(name) \(escapedForTerminal($0))" } ?? name
    guard text.count > limit else { return text }
    // The end of a path tells most, and the beginning of anything else.
    return text.hasPrefix("/") ? "…" + text.suffix(limit - 1) : text.prefix(limit - 1) + "…"
  }

  private static func plural(_ kind: SeriesKey.Kind, _ count: Int) -> String {
    switch kind {
    case .process: count == 1 ? "process" : "processes"
    case .cgroup: count == 1 ? "cgroup" : "cgroups"
    case .slabCache: count == 1 ? "slab cache" : "slab caches"
    case .vmalloc: "vmalloc callers"
    case .kernel: "accounts of the host"
    case .tmpfs: "tmpfs"
    case .sharedSegment: "shared memory segments"
    }
  }

  static func size(_ bytes: UInt64) -> String { ByteSize.text(bytes, unit: "B") }

  private static func rate(_ bytesPerSecond: Double) -> String {
    ByteRate(bytesPerSecond: bytesPerSecond).cell(per: .hour)
  }
}
