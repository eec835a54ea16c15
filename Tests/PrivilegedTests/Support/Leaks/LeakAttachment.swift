import Glibc
import TestTools

/// leaktrace attached to a running program, with a leak check in each of its reports.
final class LeakAttachment {
  private let running: RunningProgram

  /// Returns with the first report, when every probe is on.
  init(to processIDs: [Int32], _ options: [String] = [], interval: String = "100ms") throws {
    running = try RunningProgram(
      [LeakTrace.program, "trace", "--format", "json"] + LeakTrace.leakCheck + options
        + processIDs.flatMap { ["-p", String($0)] } + [interval],
      capturesErrors: true)
    _ = try nextReport()
  }

  convenience init(to program: TracedProgram, _ options: [String] = [], interval: String = "100ms") throws {
    try self.init(to: [program.processID], options, interval: interval)
  }

  /// The next report that leaktrace makes on its own.
  func nextReport() throws -> LeakReport {
    let line = running.readLine(timeout: LeakTrace.patience)
    if let report = try? LeakReport(json: line) { return report }
    let outcome = LeakTrace.finish(running)
    throw ToolFailure(
      command: "leaktrace", status: outcome.status, output: line + outcome.output + outcome.errors)
  }

  /// A report whose check began after this call: the one under way may be older.
  func freshReport() throws -> LeakReport {
    _ = try nextReport()
    return try nextReport()
  }

  /// Ends leaktrace as Ctrl-C does and returns its last report.
  func interrupt() throws -> LeakReport {
    kill(running.processID, SIGINT)
    let outcome = LeakTrace.finish(running)
    guard outcome.status == 130, let report = try LeakReport.all(in: outcome.output).last else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return report
  }
}
