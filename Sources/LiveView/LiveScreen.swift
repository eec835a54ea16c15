import Quantities
import TextOutput
import TraceModel

/// A screen like that of `top`: what is shown and how it answers to keys. Draws nothing itself.
package struct LiveScreen {
  /// What the keys ask of the tracer.
  package enum Action: Hashable, Sendable {
    case quit, save
  }

  package enum Order: String, CaseIterable, Sendable {
    case bytes, blocks, lost, growth, age
  }

  private var report: Report?
  private var order = Order.bytes
  private var isPaused = false
  private var showsHelp = false
  private var selected = 0
  private var top = 0
  /// Sites whose stacks are open, by what makes them the same in the next report.
  private var open: Set<SiteIdentity> = []
  private var message: String?
  private let shorten: (String) -> String

  /// - Parameter shorten: makes a long function name short.
  package init(shorten: @escaping (String) -> String = { $0 }) { self.shorten = shorten }

  private struct SiteIdentity: Hashable {
    var processID: Int32
    var allocator: String
    var addresses: [UInt64]
    init(_ site: AllocationSite) {
      processID = site.processID
      allocator = site.allocator + site.allocationClass.rawValue + (site.kernel?.cache ?? "")
      addresses = site.stack.addresses
    }
  }

  /// Takes the next report, unless the screen stands still.
  package mutating func show(_ report: Report) {
    guard !isPaused || self.report == nil else { return }
    self.report = report
    sort()
  }

  /// Something to say once, below the table.
  package mutating func say(_ message: String) { self.message = message }

  private mutating func sort() {
    // Doubtful sites, most of whose blocks were freed unseen, come behind all others.
    func rank(_ site: AllocationSite) -> (Int, Double, UInt64, UInt64) {
      let value: Double =
        switch order {
        case .bytes: Double(site.outstanding.bytes)
        case .blocks: Double(site.outstanding.count)
        case .lost:
          Double((site.verdicts[.definitelyLost]?.bytes ?? 0) &+ (site.verdicts[.indirectlyLost]?.bytes ?? 0))
        case .growth: site.growth?.slopeInBytesPerSecond ?? -.infinity
        case .age: site.oldestAge.map { Double($0.inNanoseconds) } ?? -1
        }
      return (site.kernel?.doubt == nil ? 1 : 0, value, site.outstanding.bytes, site.stack.addresses.first ?? 0)
    }
    report?.sites.sort { rank($0) > rank($1) }
    selected = max(0, min(selected, (report?.sites.count ?? 0) - 1))
  }

  // MARK: Keys

  package mutating func handle(_ key: Key) -> Action? {
    message = nil
    if showsHelp {
      showsHelp = false
      return key == .character("q") ? .quit : nil
    }
    let count = report?.sites.count ?? 0
    switch key {
    case .character("q"): return .quit
    case .character("s"), .character("w"): return .save
    case .character("p"), .character(" "): isPaused.toggle()
    case .character("?"), .character("h"): showsHelp = true
    case .character("b"): setOrder(.bytes)
    case .character("c"): setOrder(.blocks)
    case .character("l"): setOrder(.lost)
    case .character("g"): setOrder(.growth)
    case .character("a"): setOrder(.age)
    case .up, .character("k"): selected = max(0, selected - 1)
    case .down, .character("j"): selected = max(0, min(count - 1, selected + 1))
    case .pageUp: selected = max(0, selected - 10)
    case .pageDown: selected = max(0, min(count - 1, selected + 10))
    case .home: selected = 0
    case .end: selected = max(0, count - 1)
    case .enter: toggle()
    case .escape: open = []
    default: break
    }
    return nil
  }

  private mutating func setOrder(_ order: Order) {
    self.order = order
    selected = 0
    top = 0
    sort()
  }

  private mutating func toggle() {
    guard let sites = report?.sites, selected < sites.count else { return }
    let identity = SiteIdentity(sites[selected])
    if open.remove(identity) == nil { open.insert(identity) }
  }

  // MARK: Drawing

  /// The lines of the screen, at most `height` of at most `width` characters, with escape sequences for style only.
  package mutating func lines(width: Int, height: Int) -> [String] {
    guard width >= 20, height >= 6 else { return [fit("too small", max(1, width))] }
    if showsHelp { return Array(Self.help.prefix(height)).map { fit($0, width) } }
    guard let report else { return [fit("waiting for the first report …", width)] }
    var lines = heading(report).map { fit($0, width) }
    lines.append(style(fit(Self.columns(report), width), "7"))
    let room = max(1, height - lines.count - 1)
    lines += table(report, width: width, room: room)
    while lines.count < height - 1 { lines.append("") }
    let foot = message ?? "q quit  b/c/l/g/a sort  p pause  Enter stack  s save  ? help"
    lines = Array(lines.prefix(height - 1))
    lines.append(style(fit(escapedForTerminal(foot), width), "2"))
    return lines
  }

  private func heading(_ report: Report) -> [String] {
    let name = report.target.command ?? report.target.kind.rawValue
    let process = report.target.processID.map { " \($0)" } ?? ""
    let totals = report.totals
    var first = "leaktrace \(escapedForTerminal(name))\(process), \(report.window.duration.shortText)"
    if isPaused { first += "  [paused]" }
    var second =
      "outstanding \(ByteSize.short(totals.outstanding.bytes)) in \(totals.outstanding.count) blocks, allocated "
      + "\(ByteSize.short(totals.allocated.bytes)), freed \(ByteSize.short(totals.freed.bytes))"
    let lost = report.loss.reduce(UInt64(0)) { $0 &+ $1.value }
    if lost > 0 { second += ", LOST \(lost)" }
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

  private static func columns(_ report: Report) -> String {
    "     BYTES    BLOCKS" + (report.leakChecks.isEmpty ? "" : "      LOST") + "    OLDEST  GROWTH     ALLOCATED BY"
  }

  private mutating func table(_ report: Report, width: Int, room: Int) -> [String] {
    // The selected row must be on the screen with what is open above it.
    if selected < top { top = selected }
    while true {
      var lines: [String] = []
      var end = 0
      for (index, site) in report.sites.enumerated().dropFirst(top) {
        let row = fit(row(site, hasChecks: !report.leakChecks.isEmpty), width)
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

  private func row(_ site: AllocationSite, hasChecks: Bool) -> String {
    var text = right(ByteSize.short(site.outstanding.bytes), 10) + right("\(site.outstanding.count)", 10)
    if hasChecks {
      let lost = (site.verdicts[.definitelyLost]?.bytes ?? 0) &+ (site.verdicts[.indirectlyLost]?.bytes ?? 0)
      text += right(lost == 0 ? "-" : ByteSize.short(lost), 10)
    }
    text += right(site.oldestAge.map(\.shortText) ?? "-", 10) + "  "
    text += left(site.kernel?.doubt == nil ? site.growth.map { $0.word.rawValue } ?? "-" : "doubtful", 11)
    let names = site.frames.prefix(3).map { escapedForTerminal(shorten($0.function ?? "?")) }
    var place = names.joined(separator: " < ")
    if names.isEmpty { place = site.stack.addresses.first.map { "0x" + String($0, radix: 16) } ?? "?" }
    if let cache = site.kernel?.cache { place = "[\(escapedForTerminal(cache))] " + place }
    return text + place
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
    if let doubt = site.kernel?.doubt { lines.append("          doubtful: " + escapedForTerminal(doubt)) }
    if site.stack.completeness != .complete { lines.append("          … \(site.stack.completeness.rawValue)") }
    return lines
  }

  private static let help = [
    "leaktrace, live view", "", "  b c l g a   sort by bytes, blocks (count), lost bytes, growth, age",
    "  Up Down     choose a call stack (also k j, page keys, Home, End)", "  Enter       open or close its stack",
    "  Escape      close all stacks", "  p, Space    stand still; again to go on", "  s           save a recording",
    "  q           quit, with the last report", "", "any key goes back",
  ]

  // MARK: Text

  private func style(_ text: String, _ code: String) -> String { "\u{1b}[\(code)m\(text)\u{1b}[0m" }

  private func fit(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(0, width - 1))) + "…"
  }

  private func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }

  private func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}
