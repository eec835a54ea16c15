import Quantities
import TextOutput
import TraceModel

/// What leak checks say of processes.
extension TextRenderer {
  /// The summary has the words and columns of memcheck's, which scripts look for.
  mutating func leakSummaries() {
    for check in report.leakChecks {
      output.line(report.leakChecks.count > 1 ? "LEAK SUMMARY (process \(check.processID)):" : "LEAK SUMMARY:")
      for kind in VerdictKind.allCases {
        let tally = check.kinds[kind] ?? Tally()
        if kind == .unchecked, tally.count == 0 { continue }
        summaryLine(kind.words, tally)
      }
      if let growing = check.growing, growing.count > 0 { summaryLine("of which grow", growing) }
      summaryLine("suppressed", check.suppressed)
      output.line("  " + method(of: check))
      for note in check.notes { output.line("  " + escapedForTerminal(note)) }
      output.line()
    }
    guard !report.suppressions.isEmpty else { return }
    output.line("Suppressions used:")
    for use in report.suppressions {
      output.line(
        "  \(blocks(use.matched.count)), \(exact(use.matched.bytes)): \(escapedForTerminal(use.pattern))")
    }
    output.line()
  }

  private mutating func summaryLine(_ name: String, _ tally: Tally) {
    output.line(
      "   " + String(repeating: " ", count: 15 - name.count)
        + "\(name): \(groupedNumber(tally.bytes)) bytes in \(groupedNumber(tally.count)) blocks")
  }

  private func method(of check: LeakCheckSummary) -> String {
    let searched = "searched \(ByteSize.text(check.scannedBytes))"
    let stopped = "stopped for \(check.paused.inMilliseconds) ms"
    let took = "\(check.took.inMilliseconds) ms in all"
    return switch check.method {
    case .paused: "\(stopped), \(searched), \(took)"
    case .running: "\(check.paused > .zero ? stopped + ", " : "")\(searched) while it ran, \(took)"
    case .mixed: "\(stopped), \(searched), in part while it ran, \(took)"
    case .atExit: "\(searched) at its exit, \(took)"
    }
  }

  // MARK: Explanations

  mutating func explanations() {
    for explanation in report.explanations {
      guard let block = explanation.block else {
        output.line("\(hexadecimal(explanation.address)): no outstanding block is there")
        continue
      }
      var line = "\(hexadecimal(explanation.address)): "
      if block.address != explanation.address {
        line += "\(explanation.address &- block.address) bytes inside of "
      }
      line += "a block of \(exact(block.sizeInBytes))"
      if block.address != explanation.address { line += " at \(hexadecimal(block.address))" }
      output.line(line + ", " + block.kind.words)
      if explanation.steps.isEmpty { output.line("\tnothing points to it") }
      for step in explanation.steps {
        let holds =
          step.link == .carved ? "lies in" : "holds " + (step.pointer.map { hexadecimal($0) + "," } ?? "a pointer,")
        output.line("\t\(escapedForTerminal(step.holder)) \(holds) \(description(of: step))")
      }
    }
    if !report.explanations.isEmpty { output.line() }
  }

  private func description(of step: BlockExplanation.Step) -> String {
    let target = "a block of \(exact(step.targetSizeInBytes))"
    let place = step.pointer.map { "\($0 &- step.targetAddress) bytes inside of" } ?? "inside of"
    return switch step.link {
    case .start, .carved: target
    case .heuristic: "\(place) \(target), which counts as its start"
    case .interior: "\(place) \(target)"
    }
  }

  // MARK: Retention

  /// What allocators hold beside what is outstanding.
  mutating func retention() {
    let shown = report.retention.filter { $0.mappedHeapBytes > 0 }
    for summary in shown {
      output.line(
        "Heap of process \(summary.processID): \(size(summary.residentHeapBytes)) resident of "
          + "\(size(summary.mappedHeapBytes)) mapped, \(size(summary.outstandingBytes)) outstanding; since the trace "
          + "began resident \(change(summary.residentHeapGrowth)), outstanding \(change(summary.outstandingGrowth))")
      if let finding = summary.finding { output.line("  " + escapedForTerminal(finding)) }
    }
    if !shown.isEmpty { output.line() }
  }

  private func size(_ bytes: UInt64) -> String { ByteSize.text(bytes) }
  private func change(_ bytes: Int64) -> String { (bytes < 0 ? "-" : "+") + size(bytes.magnitude) }

  // MARK: Suppressions

  /// The entry stands alone, so that it can be copied into a file.
  mutating func suppressionEntries() {
    guard let entry = options.suppressionEntry, !report.sites.isEmpty else { return }
    output.line()
    let shown = options.top.map { max(0, $0) } ?? report.sites.count
    var written: Set<String> = []
    for site in report.sites.prefix(shown) {
      let text = entry(site)
      guard written.insert(text).inserted else { continue }
      for line in text.split(separator: "\n") { output.line(escapedForTerminal(String(line))) }
    }
  }
}
