import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// The part of a text report that answers: what leaks, how fast, since when and where, what now. It fits a screen of 24 lines.
/// A page begins with the same words.
struct FirstScreen {
  private let report: Report
  private let findings: Findings
  let headline: Headline
  /// The findings of the table.
  let rows: [Finding]
  private let options: TextOptions
  private let style: TextStyle
  /// Rows of findings, so that all of it is seen at once.
  private static let mostRows = 10
  private static let mostBounded = 3

  init(report: Report, findings: Findings, options: TextOptions) {
    self.report = report
    self.findings = findings
    self.options = options
    headline = Headline(report, findings)
    style = TextStyle(isColored: options.isColored)
    rows = Array(
      findings.list.filter { $0.kind.group != .bounded && $0.doubt == nil || $0.kind.group == .leaking }
        .prefix(min(options.top ?? Self.mostRows, Self.mostRows)))
  }

  private var width: Int { min(max(options.width, 60), 400) }

  func lines() -> [String] {
    headlineLines() + missingLines() + thinningLines() + table() + boundedLines() + [coverageLine()] + threadLines()
      + heapLines()
      + nextLines()
  }

  // MARK: The answer

  private func headlineLines() -> [String] { wrapped(headlineParts(), separator: "   ", indent: "  ") }

  /// The answer, how fast, until when, why it cannot be told, and what it rests on.
  func headlineParts() -> [String] {
    var parts = [subject + " " + answer]
    if let rate = headline.rate, rate.bytesPerSecond > 0 {
      let least = headline.isIncomplete ? "at least " : ""
      parts.append(least + ByteRate(bytesPerSecond: rate.bytesPerSecond).secondsAndHours)
    } else if headline.lost.count > 0 {
      parts.append("\(ByteSize.text(headline.lost.bytes)) lost in \(counted(headline.lost.count, "block"))")
    }
    if let forecast = headline.forecast {
      let time = Duration.forecastText(seconds: forecast.seconds)
      parts.append("OOM in ~\(time) (\(escapedForTerminal(forecast.limit)))")
    }
    if let reason = headline.reason { parts.append(reason) }
    if let unexplained = headline.unexplained, unexplained != headline.reason { parts.append(unexplained) }
    if let unjoined = headline.unjoined, unjoined != headline.reason { parts.append(unjoined) }
    return parts + [headline.window.text + ", " + missed]
  }

  private var subject: String {
    switch report.target.kind {
    case .kernel: return "the kernel"
    case .system: return report.target.command.map { escapedForTerminal(String($0.prefix(60))) } ?? "the system"
    case .process, .command:
      let name = headline.command.map(escapedForTerminal) ?? report.target.kind.rawValue
      let running = report.processes.count
      if running > 1, report.target.processID == nil { return "\(name) (\(running) processes)" }
      let others = running > 1 ? " and \(counted(UInt64(running - 1), "other"))" : ""
      return report.target.processID.map { "\(name) (\($0)\(others))" } ?? name
    }
  }

  private var answer: String {
    let kind: TextStyle.Kind =
      switch headline.answer {
      case .leaks, .grows: .alarm
      case .none: .good
      case .cannotTell: .doubt
      }
    let word = style.styled(headline.answer.rawValue, kind)
    return headline.isIncomplete ? word + ", " + style.styled("INCOMPLETE", .doubt) : word
  }

  private var missed: String {
    if headline.missing.causes.isEmpty { return report.sampling == nil ? "nothing missed" : "a sample, nothing missed" }
    return "\(groupedNumber(headline.missing.blocks)) missed"
  }

  /// What is missing and what helps, where an answer may hang on it.
  func missingLines() -> [String] {
    guard headline.isIncomplete else { return [] }
    return headline.missing.causes.prefix(3).flatMap { cause -> [String] in
      let bytes =
        cause.name == "blocks_refused" && headline.missing.bytes > 0
        ? " (\(ByteSize.text(headline.missing.bytes)))" : ""
      let advice = Self.advice[cause.name].map { "; \($0)" } ?? ""
      return wrappedWords(
        "missing: \(groupedNumber(cause.value))\(bytes) \(escapedForTerminal(cause.description))\(advice)", indent: "  "
      )
    }
  }

  /// That the numbers became those of a sample by themselves.
  func thinningLines() -> [String] {
    guard let thinning = report.sampling?.thinning else { return [] }
    return wrappedWords(
      "a sample \(thinning.sentence): numbers are estimates; --max-allocations N keeps N one by one, "
        + "--exact counts what is beyond as missed", indent: "  ")
  }

  private static let advice = [
    "blocks_refused": "more room: --max-allocations",
    "sites_refused": "more room: --max-stacks", "stacks_refused": "more room: --max-stacks",
  ]

  // MARK: Findings

  private func table() -> [String] {
    guard !rows.isEmpty else { return [] }
    let hasInterval = width >= 100
    let hasShare = rows.contains { $0.shareOfGrowth != nil }
    var table = TextTable()
    table.add(.right, "#", rows.indices.map { String($0 + 1) })
    table.add(.right, "RATE", rows.map(rate))
    if hasInterval { table.add(.right, "95 %", rows.map(interval)) }
    table.add(.flexible, hasInterval ? "WHERE (first frame of yours)" : "WHERE (yours)", rows.map { location($0) })
    table.add(.right, "HELD", rows.map(held))
    table.add(.left(most: hasInterval ? 28 : 20), "KIND", rows.map(kind))
    if hasShare { table.add(.right, "GROWTH", rows.map(share)) }
    var lines = table.lines(width: width)
    if !lines.isEmpty { lines[0] = style.styled(lines[0], .faint) }
    return lines + restLines()
  }

  func restLines() -> [String] {
    let rest = findings.list.count { $0.kind.group != .bounded && $0.doubt == nil } - rows.count
    return rest > 0 ? ["    and \(groupedNumber(rest)) more (-T N)"] : []
  }

  func rate(_ finding: Finding) -> String {
    guard let rate = shownRate(of: finding) else { return "-" }
    let value = ByteRate(bytesPerSecond: rate.bytesPerSecond)
    return value.text(per: ByteRate.Unit(for: value))
  }

  /// A rate of 0 of what is unclear says nothing.
  private func shownRate(of finding: Finding) -> GrowthRate? {
    guard let rate = finding.rate, finding.kind.group == .leaking || rate.bytesPerSecond != 0 else { return nil }
    return rate
  }

  func interval(_ finding: Finding) -> String {
    guard let rate = shownRate(of: finding), rate.lower.isFinite, rate.upper.isFinite else { return "-" }
    return ByteRate.compactInterval(
      rate.lower, rate.upper, beside: rate.bytesPerSecond,
      per: ByteRate.Unit(for: ByteRate(bytesPerSecond: rate.bytesPerSecond)))
  }

  private func location(_ finding: Finding) -> TextTable.Cell {
    TextTable.Cell(text: options.name(of: finding), tail: Self.tail(of: finding))
  }

  static func tail(of finding: Finding) -> String {
    var tail = ""
    if let place = TextOptions.place(of: finding.frame) { tail += " " + place }
    if let cache = finding.caches.first { tail += " [\(escapedForTerminal(cache))]" }
    if finding.sites.count > 1 { tail += " ×\(groupedNumber(finding.sites.count))" }
    if finding.processes.count > 1 { tail += " in \(groupedNumber(finding.processes.count)) processes" }
    return tail
  }

  func kind(_ finding: Finding) -> String {
    if finding.doubt != nil { return "doubtful" }
    switch finding.kind {
    case .growing:
      if finding.heldBeforeEnd != nil { return "growing, freed at its end" }
      guard let holder = finding.holders.first else {
        return finding.verdicts[.stillReachable] == nil ? "growing" : "reachable, growing"
      }
      return "held by " + escapedForTerminal(holder.name.map { "`\($0)`" } ?? holder.text)
    case .definitelyLost, .possiblyLost, .unclear, .plateau, .startup: return finding.kind.rawValue
    }
  }

  func held(_ finding: Finding) -> String { ByteSize.text((finding.heldBeforeEnd ?? finding.held).bytes) }

  func share(_ finding: Finding) -> String {
    finding.shareOfGrowth.map { "\(wholeNumber($0 * 100)) %" } ?? "-"
  }

  // MARK: The rest

  func boundedLines() -> [String] {
    let bounded = findings.list.filter { $0.kind.group == .bounded }
    var lines = bounded.prefix(Self.mostBounded).map { finding -> String in
      let word = finding.kind == .startup ? "one-off" : "bounded"
      let what = finding.kind == .startup ? "allocated at the start" : "plateau"
      return fitted(
        "    \(word): \(options.name(of: finding))\(Self.tail(of: finding)), \(ByteSize.text(finding.held.bytes)), \(what)"
      )
    }
    let rest = bounded.dropFirst(Self.mostBounded)
    if !rest.isEmpty {
      let bytes = rest.reduce(UInt64(0)) { $0 &+ $1.held.bytes }
      lines.append("    and \(groupedNumber(rest.count)) more that are bounded, \(ByteSize.text(bytes))")
    }
    let doubtful = findings.list.filter { $0.doubt != nil && $0.kind.group != .leaking }
    if !doubtful.isEmpty {
      let bytes = doubtful.reduce(UInt64(0)) { $0 &+ $1.held.bytes }
      lines.append(
        "    doubtful: \(counted(UInt64(doubtful.count), "caller")), \(ByteSize.text(bytes)): freed unseen, or reused")
    }
    return lines.map { style.styled($0, .faint) }
  }

  func coverageLine() -> String {
    let outstanding = report.totals.outstanding
    let stacks = report.sites.count + report.leftOutSites + (report.beyondLimit?.sites ?? 0)
    var line = "    held \(ByteSize.text(outstanding.bytes)) in \(counted(outstanding.count, "block"))"
    let share = outstanding.bytes > 0 ? min(1, Double(findings.covered.bytes) / Double(outstanding.bytes)) : 1
    line += "; \(groupedNumber(report.sites.count)) of \(groupedNumber(stacks)) stacks"
    line += ", \(wholeNumber((share * 100).rounded(.down))) % of the bytes"
    return fitted(line)
  }

  /// The memory of threads' stacks, which is no block of the program's, and threads that nobody has joined.
  func threadLines() -> [String] {
    let all = report.threads ?? []
    guard !all.isEmpty else { return [] }
    let running = all.reduce(0) { $0 &+ $1.running }
    let reserved = all.reduce(UInt64(0)) { $0 &+ $1.reservedBytes }
    let resident = all.reduce(UInt64(0)) { $0 &+ $1.residentBytes }
    let ended = all.flatMap { $0.ended ?? [] }.sorted { $0.count > $1.count }
    let endedCount = ended.reduce(0) { $0 &+ $1.count }
    var line = "    threads: \(groupedNumber(running)) running"
    if endedCount > 0 { line += ", \(groupedNumber(endedCount)) ended and not joined" }
    line += "; stacks \(ByteSize.text(resident)) in memory of \(ByteSize.text(reserved))"
    return [fitted(line)] + ended.prefix(Self.mostEnded).flatMap { wrappedWords(endedLine($0), indent: "      ") }
  }

  private static let mostEnded = 2
  /// Frames of the program that are named of the stack that created threads: the first is often a helper.
  private static let creatorFrames = 3

  private func endedLine(_ ended: ThreadSummary.EndedThreads) -> String {
    func name(_ frame: Frame) -> String {
      let function = frame.function.map { OwnFrame.shortName(of: options.shortenFunctionName($0)) } ?? frame.plainName
      let place = TextOptions.place(of: frame).map { " " + $0 } ?? ""
      return escapedForTerminal(function) + place
    }
    var line = "    not joined: \(groupedNumber(ended.count)) that began in "
    line += ended.start.last.map(name) ?? "?"
    if let own = OwnFrame.index(in: ended.creator, roles: FrameRoles()) {
      line += ", created by "
      line += ended.creator[own...].prefix(Self.creatorFrames).map(name).joined(separator: " ← ")
    }
    return line + "; stacks \(ByteSize.text(ended.residentBytes)) in memory"
  }

  /// Growth of the heap that is no leak.
  func heapLines() -> [String] {
    // What is not recorded explains the growth as well.
    guard !headline.isIncomplete else { return [] }
    return report.retention.compactMap(\.finding).prefix(1).flatMap {
      wrappedWords("heap: " + escapedForTerminal($0), indent: "  ")
    }
      + (report.kernelMemory?.findings ?? []).prefix(1).flatMap {
        wrappedWords("memory: " + escapedForTerminal($0), indent: "  ")
      }
  }

  private func nextLines() -> [String] {
    // A command is to be copied: it is not cut.
    nextCommands().map { style.styled("next:", .faint) + "  " + $0 }
  }

  func nextCommands() -> [String] {
    NextCommands(report: report, headline: headline, finding: rows.first, options: options).lines
  }

  // MARK: Width

  private func fitted(_ line: String) -> String {
    line.count <= width ? line : String(line.prefix(width - 1)) + "…"
  }

  private func wrapped(_ parts: [String], separator: String, indent: String) -> [String] {
    var lines: [String] = []
    var line = ""
    for part in parts {
      if line.isEmpty {
        line = part
      } else if TextStyle.width(of: line) + separator.count + TextStyle.width(of: part) <= width {
        line += separator + part
      } else {
        lines.append(line)
        line = indent + part
      }
      // A part that is too long for any line is broken between its words.
      while TextStyle.width(of: line) > width, let place = breakingPlace(of: line, after: indent.count) {
        lines.append(String(line[..<place]))
        line = indent + line[line.index(after: place)...]
      }
    }
    return lines + [line]
  }

  /// The last blank within the width; nil where there is none behind the indent.
  private func breakingPlace(of line: String, after indent: Int) -> String.Index? {
    let end = line.index(line.startIndex, offsetBy: width, limitedBy: line.endIndex) ?? line.endIndex
    let start = line.index(line.startIndex, offsetBy: indent + 1, limitedBy: end) ?? end
    return line[start..<end].lastIndex(of: " ")
  }

  private func wrappedWords(_ text: String, indent: String) -> [String] {
    let margin = String(text.prefix { $0 == " " })
    var lines = wrapped(text.split(separator: " ").map(String.init), separator: " ", indent: indent)
    lines[0] = margin + lines[0]
    return lines
  }
}

extension Report.Sampling.Thinning {
  /// Since when and why, to go on from "a sample".
  var sentence: String {
    "since \(begin.text), when more than \(groupedNumber(blocks)) blocks were outstanding"
  }
}
