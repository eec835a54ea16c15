import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// What to run next. Every line is a command that works as it stands.
struct NextCommands {
  let report: Report
  let headline: Headline
  /// The first finding; nil where there is none.
  let finding: Finding?
  let options: TextOptions

  var lines: [String] {
    var lines: [String] = []
    if let recording = options.recording {
      if let focus { lines.append("leaktrace report \(recording) --focus \(focus) --full-stacks") }
    } else if let command = traceAgain {
      lines.append(command)
    }
    if let guardLine, headline.answer == .leaks || headline.answer == .grows { lines.append(guardLine) }
    return lines
  }

  /// A regular expression that only the function's own name matches; nil where it has none.
  private var focus: String? {
    guard let function = finding?.frame.function else { return nil }
    let name = OwnFrame.shortName(of: function)
    guard !name.isEmpty, name.utf8.count <= 120, name.unicodeScalars.allSatisfy({ !isUnsafe($0) }) else { return nil }
    var pattern = ""
    for character in name {
      if "\\^$.|?*+()[]{}".contains(character) { pattern.append("\\") }
      pattern.append(character)
    }
    return shellQuoted(pattern)
  }

  /// The trace that tells more: with a leak check where none was made, a longer one where the run was too short.
  private var traceAgain: String? {
    guard let subject = options.subject else { return nil }
    if report.target.kind == .kernel {
      return headline.answer == .grows ? "leaktrace kernel --stacks all --duration 60" : nil
    }
    let isRunning = report.target.exitStatus == nil
    if headline.missing.causes.contains(where: { $0.name == "blocks_refused" }) {
      return "leaktrace trace --sample-bytes 512K\(isRunning ? " --duration 60" : "") \(subject)"
    }
    if report.leakChecks.isEmpty, headline.answer == .grows || headline.answer == .cannotTell {
      return "leaktrace trace --leak-check\(isRunning ? " --duration 60" : "") \(subject)"
    }
    if headline.answer == .leaks || headline.answer == .grows {
      return "leaktrace trace --leak-check --output run.pb.gz\(isRunning ? " --duration 60" : "") \(subject)"
    }
    return headline.answer == .cannotTell && isRunning ? "leaktrace trace --leak-check --duration 10m \(subject)" : nil
  }

  /// A limit until it is fixed, where the process is of a unit of systemd.
  private var guardLine: String? {
    guard let group = report.processes.first(where: { $0.processID == report.target.processID })?.controlGroup,
      let unit = group.split(separator: "/").last, unit.hasSuffix(".service"), !group.contains("user@"),
      unit.unicodeScalars.allSatisfy({ !isUnsafe($0) })
    else { return nil }
    return "stop-gap: leaktrace guard \(shellQuoted(String(unit))) --dry-run"
  }
}
