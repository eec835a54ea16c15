import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

extension LiveScreen {
  /// The lines of the screen, at most `height` of at most `width` characters, with escape sequences for style only.
  package mutating func lines(width: Int, height: Int) -> [String] {
    guard width >= 20, height >= 6 else { return [fit("too small", max(1, width))] }
    if showsHelp { return Array(Self.help.prefix(height)).map { fit($0, width) } }
    guard let report else { return [fit("waiting for the first report …", width)] }
    let columns = Columns(report, width: width)
    var lines = heading(report).map { fit($0, width) }
    lines.append(style(fit(columns.title, width), "7"))
    let room = max(1, height - lines.count - 1)
    lines += table(report, columns, width: width, room: room)
    while lines.count < height - 1 { lines.append("") }
    lines = Array(lines.prefix(height - 1))
    lines.append(style(fit(escapedForTerminal(foot), width), "2"))
    return lines
  }

  private var foot: String {
    if isTyping { return "/\(filter)_  (Enter keeps the filter, Escape clears it)" }
    if let message { return message }
    let filtered =
      filter.isEmpty
      ? "" : "filter /\(filter): \(groupedNumber(visible.count)) of \(groupedNumber(report?.sites.count ?? 0))  "
    return filtered + "q quit  b/c/l/g/a sort  / filter  p pause  Enter stack  s save  ? help"
  }

  private func heading(_ report: Report) -> [String] {
    let name = report.target.command ?? report.target.kind.rawValue
    let process = report.target.processID.map { " \($0)" } ?? ""
    let totals = report.totals
    var first = "leaktrace \(escapedForTerminal(name))\(process), \(report.window.duration.shortText)"
    if let headline {
      first += "  " + headline.answer.rawValue
      if headline.isIncomplete { first += ", INCOMPLETE" }
      if let rate = headline.rate, rate.bytesPerSecond > 0 {
        first += "  " + ByteRate(bytesPerSecond: rate.bytesPerSecond).secondsAndHours
      }
      if let forecast = headline.forecast {
        first += "  OOM in ~\(Duration.forecastText(seconds: forecast.seconds))"
      }
    }
    if isPaused { first += "  [paused]" }
    var second =
      "outstanding \(ByteSize.short(totals.outstanding.bytes)) in \(groupedNumber(totals.outstanding.count)) blocks, "
      + "allocated \(ByteSize.short(totals.allocated.bytes)), freed \(ByteSize.short(totals.freed.bytes))"
    let lost = report.loss.reduce(UInt64(0)) { $0 &+ $1.value }
    if lost > 0 { second += ", LOST \(groupedNumber(lost))" }
    guard !report.leakChecks.isEmpty else { return [first, second] }
    var kinds: [VerdictKind: Tally] = [:]
    for check in report.leakChecks {
      kinds.merge(check.kinds) { Tally(bytes: $0.bytes &+ $1.bytes, count: $0.count &+ $1.count) }
    }
    let amounts = VerdictKind.checked.map { kind in
      "\(kind.place == 0 ? kind.words : kind.briefWords) \(ByteSize.short(kinds[kind]?.bytes ?? 0))"
    }
    return [first, second, amounts.joined(separator: ", ")]
  }

  // MARK: Rows

  /// Which columns there is room for.
  struct Columns {
    var hasChecks: Bool
    var hasRate: Bool
    var hasCourse: Bool
    var hasProcess: Bool

    init(_ report: Report, width: Int) {
      hasChecks = !report.leakChecks.isEmpty
      hasRate = width >= 70
      hasCourse = width >= 110
      hasProcess = width >= 90 && report.processes.count > 1
    }

    var title: String {
      "     BYTES    BLOCKS" + (hasChecks ? "      LOST" : "") + (hasRate ? "        RATE" : "") + "    OLDEST"
        + (hasCourse ? "  " + LiveScreen.left("COURSE", LiveScreen.longestCourse) : "")
        + (hasProcess ? "  PROCESS           " : "") + "  KIND       WHERE"
    }
  }

  private mutating func table(_ report: Report, _ columns: Columns, width: Int, room: Int) -> [String] {
    // The selected row must be on the screen with what is open above it.
    if selected < top { top = selected }
    // A row has a line at least: from farther up, the selected one would be below the screen.
    top = max(top, selected - room + 1)
    while true {
      var lines: [String] = []
      var end = 0
      for (index, position) in visible.enumerated().dropFirst(top) where position < report.sites.count {
        let site = report.sites[position]
        let row = fit(row(site, columns, width), width)
        lines.append(index == selected ? style(row, "1;7") : row)
        if index == selected { end = lines.count }
        if open.contains(SiteIdentity(site)) { lines += frames(site).map { style(fit($0, width), "36") } }
        if lines.count >= room { break }
      }
      let isVisible = end > 0 && end <= room
      guard !isVisible, top < selected else { return Array(lines.prefix(room)) }
      top += 1
    }
  }

  private func row(_ site: AllocationSite, _ columns: Columns, _ width: Int) -> String {
    var text =
      Self.right(ByteSize.short(site.outstanding.bytes), 10) + Self.right(groupedNumber(site.outstanding.count), 10)
    if columns.hasChecks {
      let lost = site.verdicts.lost.bytes
      text += Self.right(lost == 0 ? "-" : ByteSize.short(lost), 10)
    }
    if columns.hasRate { text += Self.right(rate(of: site), 12) }
    text += Self.right(site.oldestAge.map(\.shortText) ?? "-", 10) + "  "
    if columns.hasCourse {
      text +=
        Self.left(
          Sparkline.draw((courses[SiteIdentity(site)] ?? []).map(Double.init), width: Self.longestCourse),
          Self.longestCourse) + "  "
    }
    if columns.hasProcess { text += Self.left(String(escapedForTerminal(process(of: site)).prefix(17)), 18) + "  " }
    text += Self.left(kind(of: site), 11)
    return text + place(of: site, room: max(8, width - text.count))
  }

  private func rate(of site: AllocationSite) -> String {
    guard let slope = site.growth?.slopeInBytesPerSecond, slope.isFinite else { return "-" }
    let rate = ByteRate(bytesPerSecond: slope)
    let unit = ByteRate.Unit(for: rate)
    return rate.cell(per: unit) + (unit == .hour ? "/h" : "/s")
  }

  /// The own frame with its callers, as many as there is room for.
  private func place(of site: AllocationSite, room: Int) -> String {
    let own = OwnFrame.index(in: site, roles: roles) ?? 0
    var place = ""
    for (index, frame) in site.frames.enumerated().dropFirst(own) {
      let isFolded = index > own && roles.role(of: frame, isKernel: site.isOfKernel).isFolded
      // What only starts a program or thread says nothing.
      if isFolded, room < 60 || frame.function == nil { continue }
      let name = frame.function.map { escapedForTerminal(shorten($0)) } ?? "?"
      if !place.isEmpty {
        if place.count + name.count + 3 > room, index > own + 1 { break }
        place += " < "
      }
      place += name
    }
    if place.isEmpty { place = site.stack.addresses.first.map { "0x" + String($0, radix: 16) } ?? "?" }
    if let cache = site.kernel?.cache { place = "[\(escapedForTerminal(cache))] " + place }
    return place
  }

  /// What the site is, in one word.
  func kind(of site: AllocationSite) -> String {
    if site.kernel?.doubt != nil { return "doubtful" }
    if site.verdicts.lost.count > 0 { return "lost" }
    let word = (site.growth?.word).map { headline?.missing.supported($0) ?? $0 }
    if word == .growing { return "growing" }
    if (site.verdicts[.possiblyLost]?.count ?? 0) > 0 { return "possibly" }
    return word?.rawValue ?? "-"
  }

  func process(of site: AllocationSite) -> String {
    let command = report?.processes.first { $0.processID == site.processID }?.command
    let name = command?.split(separator: " ").first?.split(separator: "/").last.map(String.init)
    return "\(name ?? "process") \(site.processID)"
  }

  private func frames(_ site: AllocationSite) -> [String] {
    var lines = site.frames.map { frame -> String in
      var line = "          " + escapedForTerminal(shorten(frame.function ?? "0x" + String(frame.address, radix: 16)))
      if let module = frame.module {
        line += " [" + escapedForTerminal(module.split(separator: "/").last.map(String.init) ?? module) + "]"
      }
      if let file = frame.file { line += " " + escapedForTerminal(file) + (frame.line.map { ":\($0)" } ?? "") }
      return line
    }
    for holder in (site.heldBy ?? []).prefix(3) {
      lines.append("          held by \(escapedForTerminal(holder.words)), \(ByteSize.short(holder.held.bytes))")
    }
    if let doubt = site.kernel?.doubt { lines.append("          doubtful: " + escapedForTerminal(doubt)) }
    if site.stack.completeness != .complete { lines.append("          … \(site.stack.completeness.rawValue)") }
    return lines
  }

  private static let help = [
    "leaktrace, live view", "", "  b c l g a   sort by bytes, blocks (count), lost bytes, growth, age",
    "  /           filter: only rows with the text that is typed; Escape clears it",
    "  Up Down     choose a call stack (also k j, page keys, Home, End)", "  Enter       open or close its stack",
    "  Escape      close all stacks", "  p, Space    stand still; again to go on", "  s           save a recording",
    "  q           quit, with the answer of the last report", "", "any key goes back",
  ]

  // MARK: Text

  private func style(_ text: String, _ code: String) -> String { "\u{1b}[\(code)m\(text)\u{1b}[0m" }

  private func fit(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(0, width - 1))) + "…"
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }

  static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}
