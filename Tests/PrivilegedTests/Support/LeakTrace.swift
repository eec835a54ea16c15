import Glibc
import TestTools

/// The program under test, run as its users run it.
enum LeakTrace {
  /// What LEAKTRACE_PROGRAM names, or else the built executable.
  static let program: String = {
    _ = KernelPrograms.start
    return getenv("LEAKTRACE_PROGRAM").map { String(cString: $0) } ?? built
  }()

  /// The built executable beside the test bundle, which is linked dynamically: a library can be loaded before its own.
  static let built: String = {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/leaktrace"
  }()

  /// Options of every trace: with LEAKTRACE_TEST_GATE in the environment, the tests of traces run through gates.
  static let commonOptions = getenv("LEAKTRACE_TEST_GATE") == nil ? [] : ["--gate"]

  /// How a run ended and what it printed.
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String

    /// Every report on standard output; other lines are the traced program's own.
    func reports() throws -> [TraceReport] {
      try output.split(separator: "\n").filter { $0.hasPrefix("{\"schema\"") }
        .map { try TraceReport(json: $0) }
    }

    /// The last report.
    func report() throws -> TraceReport {
      guard let last = try reports().last else {
        throw ToolFailure(command: "leaktrace", status: status, output: output + errors)
      }
      return last
    }
  }

  /// Runs `leaktrace trace` to its end.
  static func trace(
    _ arguments: [String], environment: [String: String] = [:], input: String = ""
  ) throws -> Outcome {
    let running = try RunningProgram(
      [program, "trace"] + commonOptions + arguments, environment: environment, capturesErrors: true)
    if !input.isEmpty { running.send(input) }
    return finish(running)
  }

  /// Runs a command under trace to its end and returns the one report, which must be the only one.
  static func report(
    of command: [String], _ options: [String] = [], environment: [String: String] = [:]
  ) throws -> TraceReport {
    let outcome = try trace(
      ["--format", "json"] + options + ["--"] + command, environment: environment)
    let reports = try outcome.reports()
    guard reports.count == 1, outcome.status == reports[0].target.exitStatus else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return reports[0]
  }

  static func finish(_ running: RunningProgram) -> Outcome {
    let output = running.readOutput(timeout: patience)
    let errors = running.readErrors(timeout: patience)
    return Outcome(status: running.wait(), output: output, errors: errors)
  }
}

/// leaktrace attached to a running program, reporting ten times a second.
final class Attachment {
  let running: RunningProgram

  /// Returns with the first report, when every probe is on, or else at once.
  init(
    to processIDs: [Int32], _ options: [String] = [], interval: String = "100ms",
    waitsForReport: Bool = true
  ) throws {
    running = try RunningProgram(
      [LeakTrace.program, "trace", "--format", "json"] + LeakTrace.commonOptions + options
        + processIDs.flatMap { ["-p", String($0)] } + [interval],
      capturesErrors: true)
    if waitsForReport { _ = try nextReport() }
  }

  convenience init(
    to program: TracedProgram, _ options: [String] = [], interval: String = "100ms",
    waitsForReport: Bool = true
  ) throws {
    try self.init(
      to: [program.processID], options, interval: interval, waitsForReport: waitsForReport)
  }

  /// The next report that leaktrace makes on its own.
  func nextReport() throws -> TraceReport {
    let line = running.readLine(timeout: patience)
    if let report = try? TraceReport(json: line) { return report }
    let outcome = LeakTrace.finish(running)
    throw ToolFailure(
      command: "leaktrace", status: outcome.status, output: line + outcome.output + outcome.errors)
  }

  /// Waits until a report satisfies the condition; the last one in any case.
  func report(within seconds: Double = patience, until isDone: (TraceReport) -> Bool) throws -> TraceReport {
    let end = secondsNow() + seconds
    var report = try nextReport()
    while !isDone(report), secondsNow() < end { report = try nextReport() }
    return report
  }

  /// Ends leaktrace as Ctrl-C does and returns its last report.
  func interrupt() throws -> TraceReport {
    kill(running.processID, SIGINT)
    let outcome = LeakTrace.finish(running)
    guard outcome.status == 130 else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return try outcome.report()
  }

  /// Waits for leaktrace to end by itself and returns its last report.
  func end() throws -> TraceReport {
    let outcome = LeakTrace.finish(running)
    guard outcome.status == 0 else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return try outcome.report()
  }
}

/// Seconds of the monotonic clock.
func secondsNow() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}
