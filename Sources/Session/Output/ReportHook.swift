import ReportFormats
import Scheduling
import TraceModel

/// Runs the command of `--on-report` with a report.
enum ReportHook {
  /// Gives the report as JSON to the command's standard input and waits for the command. What it makes of it is its own
  /// affair: a command that fails is told of on standard error, and the trace goes on.
  static func run(_ command: String, _ report: Report) {
    do {
      let ending = try ShellCommand(command, input: JSONReport.render(report), hasOwnGroup: false).waitForEnd()
      if !ending.isSuccess { complain("--on-report: the command ended with \(ending)") }
    } catch { complain("--on-report: \(error)") }
  }
}
