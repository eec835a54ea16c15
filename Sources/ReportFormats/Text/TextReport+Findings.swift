import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// The call stacks behind the findings.
extension TextRenderer {
  /// How many stacks of one finding are shown; what they differ in is only who called.
  private static let mostStacks = 3

  mutating func findingStacks(_ findings: Findings, _ roles: FrameRoles) {
    let limit = options.top.map { max(0, $0) } ?? report.sites.count
    var shown = 0
    for (number, finding) in findings.list.enumerated() {
      guard shown < limit else { break }
      // Whoever wants single blocks wants all of them.
      let most = options.showAllocations ? limit - shown : min(Self.mostStacks, limit - shown)
      let sites = finding.sites.prefix(most)
      shown += sites.count
      output.line()
      let only = finding.sites.count == 1 ? finding.sites.first.map { report.sites[$0] } : nil
      output.line(style.styled(title(of: finding, number: number + 1, only: only), .strong))
      for line in details(of: finding) { output.line("    " + line) }
      for index in sites { write(report.sites[index], isOnly: only != nil, roles) }
      let rest = finding.sites.dropFirst(sites.count)
      if !rest.isEmpty {
        let bytes = rest.reduce(UInt64(0)) { $0 &+ report.sites[$1].outstanding.bytes }
        output.line(
          "  \(groupedNumber(rest.count)) more \(rest.count == 1 ? "stack" : "stacks") of it with \(ByteSize.exact(bytes))"
        )
      }
    }
    notShown(findings, shown: shown)
    output.line()
  }

  private mutating func notShown(_ findings: Findings, shown: Int) {
    let all = findings.list.reduce(0) { $0 + $1.sites.count }
    if all > shown {
      output.line()
      output.line("\(groupedNumber(all - shown)) of \(groupedNumber(all)) stacks not shown (-T N shows more)")
    }
    if report.leftOutSites > 0 {
      output.line(
        "\(counted(UInt64(report.leftOutSites), "stack")) with \(ByteSize.exact(report.leftOut.bytes)) in "
          + "\(blocks(report.leftOut.count)) left out: none of a kind to be shown (--leak-kinds)")
    }
  }

  // MARK: Of a finding

  /// - Parameter only: its stack, where it has only one: then all there is to say stands in one line.
  private func title(of finding: Finding, number: Int, only: AllocationSite?) -> String {
    var title = "#\(number) \(options.name(of: finding))"
    if let place = TextOptions.place(of: finding.frame) { title += " " + place }
    if let only { return title + ": " + heading(of: only) + (finding.doubt == nil ? "" : "; doubtful") }
    title += ": \(ByteSize.exact(finding.held.bytes)) in \(blocks(finding.held.count))"
    if let before = finding.heldBeforeEnd { title += ", \(beforeEnd(before))" }
    if finding.sites.count > 1 { title += " from \(groupedNumber(finding.sites.count)) stacks" }
    title += "; " + (finding.doubt == nil ? finding.kind.rawValue : "doubtful")
    if let rate = finding.rate, finding.kind.group == .leaking {
      title += ", " + ByteRate(bytesPerSecond: rate.bytesPerSecond).secondsAndHours
      if let interval = interval(rate) { title += " (\(interval))" }
    }
    return title
  }

  private func interval(_ rate: GrowthRate) -> String? {
    guard rate.lower.isFinite, rate.upper.isFinite else { return nil }
    let unit = ByteRate.Unit(for: ByteRate(bytesPerSecond: rate.bytesPerSecond))
    return "\(wholeNumber(rate.confidence * 100)) %: " + ByteRate.interval(rate.lower, rate.upper, per: unit)
  }

  private func details(of finding: Finding) -> [String] {
    var lines: [String] = []
    for holder in finding.holders.prefix(3) {
      let share = holder.share.map { "\(wholeNumber(($0 * 100).rounded(.down))) % " } ?? ""
      lines.append("\(share)held by \(escapedForTerminal(holder.text)): \(ByteSize.text(holder.held.bytes))")
    }
    lines += Self.lines(of: finding.freedAt)
    if finding.processes.count > 1 {
      let parts = finding.processes.prefix(4).map { share -> String in
        var text =
          "\(share.command.map(escapedForTerminal) ?? "process") (\(share.processID)) \(ByteSize.text(share.held.bytes))"
        if let rate = share.rate, finding.kind.group == .leaking {
          let value = ByteRate(bytesPerSecond: rate.bytesPerSecond)
          text += ", " + value.text(per: ByteRate.Unit(for: value))
        }
        return text
      }
      let rest = finding.processes.count - parts.count
      lines.append("in " + parts.joined(separator: "; ") + (rest > 0 ? "; \(rest) more processes" : ""))
    }
    if let doubt = finding.doubt, finding.sites.count > Self.mostStacks {
      lines.append("doubtful: " + escapedForTerminal(doubt))
    }
    return lines
  }

  // MARK: Of a stack

  private mutating func write(_ site: AllocationSite, isOnly: Bool, _ roles: FrameRoles) {
    if !isOnly { output.line("  " + heading(of: site)) }
    let own = OwnFrame.index(in: site, roles: roles)
    var folded: [FrameRole] = []
    func fold() -> String? {
      guard !folded.isEmpty else { return nil }
      var names: [String] = []
      for role in folded where !names.contains(role.words) { names.append(role.words) }
      let text = "      … \(counted(UInt64(folded.count), "frame")) of \(names.joined(separator: " and "))"
      folded = []
      return style.styled(text, .faint)
    }
    for (index, frame) in site.shownFrames.enumerated() {
      let role = site.frames.isEmpty ? .program : roles.role(of: frame, isKernel: site.isOfKernel)
      if !options.fullStacks, index != own, role.isFolded {
        folded.append(role)
        continue
      }
      if let line = fold() { output.line(line) }
      let text = "      " + description(of: frame)
      output.line(index == own ? style.styled(text, .strong) : text)
    }
    if let line = fold() { output.line(line) }
    if let end = Self.end(of: site.stack) { output.line("      " + end) }
    kernelShares(of: site)
    guard options.showAllocations else { return }
    for allocation in site.allocations { write(allocation) }
  }

  /// What there is to say of a stack stands before its frames.
  private func heading(of site: AllocationSite) -> String {
    var parts = [
      "\(ByteSize.exact(site.outstanding.bytes, standardError: site.outstandingBytesStandardError)) in \(blocks(site.outstanding.count))"
    ]
    if let before = site.heldBeforeEnd { parts.append(beforeEnd(before)) }
    let isChecked = report.leakChecks.contains { $0.processID == site.processID }
    for kind in VerdictKind.allCases where kind != .unchecked || isChecked {
      guard let tally = site.verdicts[kind], tally.count > 0 else { continue }
      parts.append(
        tally == site.outstanding ? kind.words : "\(kind.words) \(ByteSize.text(tally.bytes)) in \(blocks(tally.count))"
      )
    }
    if site.keeps.count > 0 {
      parts.append("keeping \(ByteSize.text(site.keeps.bytes)) in \(blocks(site.keeps.count))")
    }
    if let growth = growthText(of: site) { parts.append(growth) }
    return "\(parts.joined(separator: "; "))\(remarks(on: site))"
  }

  private func beforeEnd(_ held: Tally) -> String {
    "grew to \(ByteSize.text(held.bytes)) in \(blocks(held.count)), which its process freed at its end"
  }

  /// What is missing at the end of a stack; nil if nothing is.
  static func end(of stack: StackTrace) -> String? {
    switch stack.completeness {
    case .complete, .callerOnly: nil
    case .truncated: "... cut at \(stack.addresses.count) frames"
    case .broken: "... the callers above could not be found"
    case .framePointersOnly: "... followed by frame pointers only; callers that keep none are missing"
    }
  }
}

extension FrameRole {
  fileprivate var words: String {
    switch self {
    case .allocator: "the allocator"
    case .runtime: "the runtime"
    case .standardLibrary: "std"
    case .interpreter: "the interpreter"
    case .program: "the program"
    }
  }
}
