import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// What leak checks and growth say of a site and of its blocks.
extension TextRenderer {
  private func amount(_ tally: Tally) -> String { "\(exact(tally.bytes)) in \(blocks(tally.count))" }

  mutating func verdict(of site: AllocationSite) {
    let isChecked = report.leakChecks.contains { $0.processID == site.processID }
    var parts: [String] = []
    for kind in VerdictKind.allCases where kind != .unchecked || isChecked {
      guard let tally = site.verdicts[kind], tally.count > 0 else { continue }
      var part = "\(kind.words) \(amount(tally))"
      if kind == .stillReachable, !site.holders.isEmpty {
        let holders = site.holders.sorted { $0.key < $1.key }
        let texts = holders.map { "\(amount($0.value)) only from \(escapedForTerminal($0.key))" }
        part += " (" + texts.joined(separator: ", ") + ")"
      }
      parts.append(part)
    }
    if site.keeps.count > 0 { parts.append("keeping \(amount(site.keeps))") }
    if !parts.isEmpty { output.line("\t\tverdict: " + parts.joined(separator: "; ")) }
  }

  /// Who keeps the reachable blocks, as long as it is a twentieth at least.
  mutating func holders(of site: AllocationSite) {
    for holder in (site.heldBy ?? []).prefix(3) where holder.share >= 0.05 || holder == site.heldBy?.first {
      let share = wholeNumber((holder.share * 100).rounded(.down))
      output.line("\t\t\(share) % held by \(escapedForTerminal(holder.sentence))")
    }
  }

  /// All holders of the stacks that were asked for.
  ///
  /// - Parameter findings: those that this report has numbered; nil where it numbers stacks.
  mutating func explainedStacks(_ findings: Findings?) {
    if options.explainedStacks.isEmpty { return }
    let numbered = findings.map { $0.list.map(\.sites) } ?? report.sites.indices.map { [$0] }
    for name in options.explainedStacks {
      let number = Int(name) ?? 0
      let chosen = number >= 1 && number <= numbered.count ? numbered[number - 1] : []
      let found = report.sites.enumerated().filter { index, site in
        chosen.contains(index) || site.frames.contains { Self.isNamed($0, name) }
      }
      if found.isEmpty {
        output.line("\(escapedForTerminal(name)): no stack of this report has that number or function")
      }
      for (index, site) in found {
        let finding = numbered.firstIndex { $0.contains(index) }
        // What was asked for by its number is called as it is there.
        let heading = finding.flatMap { findings?.list[$0].frame.function }
        let function =
          (site.frames.first { Self.isNamed($0, name) }?.function ?? heading ?? site.frames.first?.function)
          .map(escapedForTerminal) ?? "a stack without names"
        let place = finding.map { "#\($0 + 1) " } ?? ""
        output.line("\(place)\(function): \(amount(site.outstanding))")
        let holders = site.heldBy ?? []
        if holders.isEmpty { output.line("\tnothing that is known holds them") }
        for holder in holders {
          let share = wholeNumber((holder.share * 100).rounded(.down))
          output.line("\t\(amount(holder.held)), \(share) %: \(escapedForTerminal(holder.sentence))")
        }
      }
      output.line()
    }
  }

  /// Whether a frame is called so, with or without its parameters and scope.
  private static func isNamed(_ frame: Frame, _ name: String) -> Bool {
    guard let function = frame.function else { return false }
    let plain = function.prefix { $0 != "(" }
    return function == name || plain == name || plain.hasSuffix("::" + name)
  }

  /// Where such blocks are freed as a rule.
  mutating func freePlaces(of site: AllocationSite) {
    for line in Self.lines(of: site.freedAt ?? []) { output.line("\t\t" + line) }
  }

  static func lines(of freedAt: [FreePlace]) -> [String] {
    let shown = freedAt.prefix(3)
    var lines = shown.compactMap { place -> String? in
      let names = place.frames.filter { $0.function != nil }.prefix(3).map(freeingFrame)
      return names.isEmpty ? nil : "\(percent(place.share)) freed in \(names.joined(separator: " < "))"
    }
    let never = 1 - freedAt.reduce(0) { $0 + $1.share }
    if let last = lines.popLast(), shown.count == freedAt.count {
      lines.append(never > 0.0005 ? last + ", \(percent(never)) not" : last)
    }
    return lines
  }

  private static func percent(_ share: Double) -> String {
    let percent = max(0, share * 100)
    return percent > 0 && percent < 1 ? "< 1 %" : wholeNumber(percent.rounded()) + " %"
  }

  /// A function by its short name, with its line.
  private static func freeingFrame(_ frame: Frame) -> String {
    let name = escapedForTerminal(OwnFrame.shortName(of: frame.function ?? "?"))
    guard let file = frame.file?.split(separator: "/").last, let line = frame.line else { return name }
    return "\(name) \(escapedForTerminal(String(file))):\(line)"
  }

  mutating func growth(of site: AllocationSite) {
    if let text = growthText(of: site) { output.line("\t\tgrowth: " + text) }
  }

  /// The word of a site's growth with its evidence; nil where there is none that interests anybody.
  func growthText(of site: AllocationSite) -> String? {
    guard let growth = site.growth else { return nil }
    let word = missing.supported(growth.word)
    // That nothing can be said interests only those who look for leaks.
    if word == .unclear, report.leakChecks.isEmpty, !options.showProbes { return nil }
    let slope = ByteRate(bytesPerSecond: growth.slopeInBytesPerSecond)
    let unit = ByteRate.Unit(for: slope)
    let rate = isPlain || word != .growing ? slope.text(per: unit) : slope.secondsAndHours
    var text = "\(word.rawValue), \(rate)"
    if growth.lowerSlope.isFinite, growth.upperSlope.isFinite {
      let confidence = wholeNumber(growth.confidence * 100)
      let lower = ByteRate(bytesPerSecond: growth.lowerSlope).text(per: unit)
      let upper = ByteRate(bytesPerSecond: growth.upperSlope).text(per: unit)
      text += " (\(confidence) %: \(lower) to \(upper))"
    } else {
      text += " (no bound)"
    }
    text += "; survivors of \(growth.generationsAlive) of \(growth.windows) windows"
    if let survival = growth.survival { text += "; \(wholeNumber(survival * 100)) % survive" }
    if word != growth.word { text += "; records are missing" }
    return text
  }

  // MARK: Single blocks

  mutating func write(_ allocation: OutstandingAllocation) {
    var line =
      "\taddr = \(String(allocation.address, radix: 16)) size = \(allocation.sizeInBytes)"
      + " age = \(allocation.age.inMilliseconds) ms"
    if let verdict = allocation.verdict, verdict.kind != .unchecked {
      line += " " + verdict.kind.words
      if verdict.keeps.count > 0 { line += ", keeping \(amount(verdict.keeps))" }
      if let holder = verdict.holder { line += ", only from " + escapedForTerminal(holder) }
    }
    output.line(line)
    for start in stride(from: 0, to: allocation.firstBytes.count, by: 16) {
      output.line("\t\t" + Self.dumpLine(allocation.firstBytes, from: start))
    }
  }

  /// `0010  68 65 6c 6c 6f …  |hello|`
  static func dumpLine(_ bytes: [UInt8], from start: Int) -> String {
    let part = bytes[start..<min(start + 16, bytes.count)]
    func digits(_ value: Int, _ count: Int) -> String {
      let text = String(value, radix: 16)
      return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    var line = digits(start, 4) + " "
    for byte in part { line += " " + digits(Int(byte), 2) }
    line += String(repeating: "   ", count: 16 - part.count) + "  |"
    for byte in part { line.unicodeScalars.append((0x20...0x7e).contains(byte) ? Unicode.Scalar(byte) : ".") }
    return line + "|"
  }
}
