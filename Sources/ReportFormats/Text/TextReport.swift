import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// The report for people: the answer first, on one screen, and then the stacks behind it.
package enum TextReport {
  package static let format = ReportFormat(
    name: "text", summary: "for people: the answer first, then the call stacks", suffixes: ["txt", "text"],
    usualSites: 10,
    examinedSites: 5000
  ) { report, options in render(report, options.text) }

  package static func render(_ report: Report, _ options: TextOptions = TextOptions()) -> [UInt8] {
    let roles = FrameRoles()
    let findings = Findings(report, roles: roles)
    var renderer = TextRenderer(report: report, options: options, missing: findings.missing)
    for line in FirstScreen(report: report, findings: findings, options: options).lines() { renderer.output.line(line) }
    if options.isShort { return renderer.output.bytes }
    if options.showSites { renderer.findingStacks(findings, roles) } else { renderer.output.line() }
    renderer.heading()
    renderer.rest(findings)
    return renderer.output.bytes
  }
}

/// The report in the form of bcc's memleak, for scripts that read its lines.
package enum MemleakReport {
  package static let format = ReportFormat(
    name: "memleak", summary: "stacks as bcc's memleak prints them", usualSites: 10
  ) { report, options in render(report, options.text) }

  package static func render(_ report: Report, _ options: TextOptions = TextOptions()) -> [UInt8] {
    var renderer = TextRenderer(report: report, options: options, missing: MissingRecords(report))
    renderer.isPlain = true
    renderer.heading()
    if options.showSites { renderer.sites() }
    renderer.rest()
    return renderer.output.bytes
  }
}

/// Writes one report; each section is a function.
struct TextRenderer {
  let report: Report
  let options: TextOptions
  let missing: MissingRecords
  let style: TextStyle
  /// Whether numbers stand as programs read them, without separators.
  var isPlain = false
  var output = ByteWriter()

  init(report: Report, options: TextOptions, missing: MissingRecords) {
    self.report = report
    self.options = options
    self.missing = missing
    style = TextStyle(isColored: options.isColored)
  }

  /// What stands behind the stacks, whatever their form.
  ///
  /// - Parameter findings: those that were numbered before; nil where stacks were.
  mutating func rest(_ findings: Findings? = nil) {
    explanations()
    explainedStacks(findings)
    leakSummaries()
    retention()
    processes()
    kernelMemory()
    probes()
    loss()
    notes()
    missingSymbols()
    suppressionEntries()
  }

  func number(_ value: UInt64) -> String { isPlain ? String(value) : groupedNumber(value) }

  func exact(_ bytes: UInt64, standardError: Double? = nil) -> String {
    ByteSize.exact(bytes, standardError: standardError, isGrouped: !isPlain)
  }

  mutating func heading() {
    output.line("leaktrace: " + targetDescription)
    if let executable = report.target.executable {
      output.line("  executable:  " + escapedForTerminal(executable))
    }
    output.line("  window:      " + windowDescription)
    let totals = report.totals
    if let filter = report.filter {
      output.line(
        "  part:        \(escapedForTerminal(filter.words)); all: \(ByteSize.exact(filter.whole.bytes)) in \(blocks(filter.whole.count))"
      )
    }
    output.line(
      "  outstanding: "
        + exact(totals.outstanding.bytes, standardError: totals.outstandingBytesStandardError)
        + " in \(blocks(totals.outstanding.count))")
    output.line(
      "  allocated:   \(exact(totals.allocated.bytes)) in \(blocks(totals.allocated.count))")
    output.line("  freed:       \(exact(totals.freed.bytes)) in \(blocks(totals.freed.count))")
    if totals.unmatchedFrees > 0 {
      output.line("  unmatched:   \(number(totals.unmatchedFrees)) frees of blocks that were not traced")
    }
    if let sampling = report.sampling {
      if let nth = sampling.everyNth {
        output.line(
          "  sampling:    one allocation in \(nth); numbers are estimates, ± one standard error")
      } else {
        output.line(
          "  sampling:    one sample in \(exact(sampling.meanInBytes)) on average; "
            + "numbers are estimates, ± one standard error")
      }
      if let thinning = sampling.thinning {
        output.line("               a sample \(thinning.sentence); before, every block was recorded")
      }
    }
    output.line()
  }

  private var targetDescription: String {
    let target = report.target
    let command = target.command.map(escapedForTerminal)
    var text: String
    switch target.kind {
    case .kernel: text = "the kernel"
    case .system: text = command.map { "system (\($0))" } ?? "system"
    case .process, .command:
      text = target.processID.map { "\(target.kind.rawValue) \($0)" } ?? target.kind.rawValue
      if let command { text += " (\(command))" }
    }
    if let status = target.exitStatus {
      text +=
        status > 128 ? ", ended by signal \(status - 128)" : ", exited with status \(status)"
    }
    return text
  }

  private var windowDescription: String {
    let duration = report.window.duration.text
    guard
      let start = CivilTime(
        unixSeconds: report.window.startInUnixSeconds + Double(options.secondsFromUTC))
    else { return duration }
    return "\(duration) from \(start.date) \(start.time)"
      + (options.secondsFromUTC == 0 ? " UTC" : "")
  }

  func blocks(_ count: UInt64) -> String { count == 1 ? "1 block" : "\(number(count)) blocks" }

  /// One line per process, when there is more than one.
  mutating func processes() {
    guard report.processes.count > 1 else { return }
    output.line("Processes:")
    let heading = ["PID", "PARENT", "OUTSTANDING BYTES", "BLOCKS", "STATE", "COMMAND"]
    var rows = [heading]
    for process in report.processes {
      let outstanding = process.totals.outstanding
      rows.append([
        String(process.processID), process.parentProcessID.map { String($0) } ?? "-",
        number(outstanding.bytes) + (ByteSize.rounded(outstanding.bytes).map { " (\($0))" } ?? ""),
        number(outstanding.count), process.state.rawValue, escapedForTerminal(process.command),
      ])
    }
    let widths = heading.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
      var line = "  "
      for (column, text) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - text.count)
        let isText = column >= 4
        line += isText ? text : padding + text
        if column < row.count - 1 { line += isText ? padding + "  " : "  " }
      }
      output.line(line)
    }
    output.line()
  }

  /// What the tracing cost: how often probes were hit, and how many are slow ones.
  mutating func probes() {
    guard !report.probes.isEmpty else { return }
    let hits = report.probes.reduce(UInt64(0)) { $0 &+ $1.hits }
    let stepped = report.probes.filter { !$0.isEmulated && $0.kind != .rawTracepoint }
    let steppedHits = stepped.reduce(UInt64(0)) { $0 &+ $1.hits }
    var line = "Probes: \(number(UInt64(report.probes.count))), hit \(number(hits)) times"
    if stepped.isEmpty {
      line += ", none single-stepped"
    } else {
      line +=
        "; \(number(UInt64(stepped.count))) single-stepped (\(Report.Probe.steppingCost)), hit \(number(steppedHits)) times"
    }
    output.line(line)
    guard options.showProbes else { return }
    for probe in report.probes {
      output.line(
        "  \(escapedForTerminal(probe.function))+\(hexadecimal(probe.offset)) "
          + "[\(module(probe.object))] \(probe.kind.rawValue) on '\(escapedForTerminal(probe.instruction))', "
          + "\(probe.isEmulated || probe.kind == .rawTracepoint ? "" : "single-stepped, ")\(number(probe.hits)) hits"
      )
    }
  }

  mutating func loss() {
    for counter in report.loss where counter.value > 0 {
      output.line(
        "Lost: \(number(counter.value)) \(escapedForTerminal(counter.description)) (\(escapedForTerminal(counter.name)))"
      )
    }
  }

  mutating func notes() {
    for note in report.notes { output.line("Note: " + escapedForTerminal(note)) }
  }

  /// Where names for frames without one can be had.
  mutating func missingSymbols() {
    for file in report.missingSymbols ?? [] { output.line(escapedForTerminal(file.sentence)) }
  }

  /// A module's file name, or its path; an area such as `[vdso]` without its brackets.
  func module(_ path: String) -> String {
    if path.hasPrefix("["), path.hasSuffix("]") {
      return escapedForTerminal(String(path.dropFirst().dropLast()))
    }
    if options.fullNames { return escapedForTerminal(path) }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return escapedForTerminal(name)
  }
}
