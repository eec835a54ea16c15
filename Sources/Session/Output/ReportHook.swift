import ReportFormats
import Scheduling
import TraceModel

/// Passes each report to the command of `--on-report`.
enum ReportHook {
  /// Runs the command with the report as JSON on its standard input, and waits until it ends. A command that fails does
  /// not disturb the trace: leaktrace tells of it on standard error and goes on.
  static func run(_ command: String, _ report: Report) {
    do {
      let ending = try ShellCommand(command, input: JSONReport.render(report), hasOwnGroup: false).waitForEnd()
      if !ending.isSuccess { complain("--on-report: the command ended with \(ending)") }
    } catch { complain("--on-report: \(error)") }
  }
}
