import Glibc
import TestTools

/// leaktrace with a leak check in each of its reports: attached to a program that runs, or running one that waits for its
/// next step as a `TracedProgram` does.
final class LeakAttachment {
  private let running: RunningProgram
  // Reports go to a file: in a pipe they would grow old, and mix with what the program prints.
  private let directory: TemporaryDirectory
  private var file: Int32 = -1
  private var unread: [UInt8] = []
  private var reports: [[UInt8]] = []
  private var reportsRead = 0
  /// What a traced command has printed beside its readiness.
  private(set) var commandOutput: [String] = []

  private init(
    _ options: [String], of target: [String], interval: String, environment: [String: String] = [:]
  ) throws {
    directory = try TemporaryDirectory()
    // Its last two words are how long a pause may take.
    let leakCheck = LeakTrace.leakCheck.dropLast(options.contains("--no-pause") ? 2 : 0)
    // A descriptor of its own is a stream, which gets every report; a file would hold the last one.
    let shell = ["sh", "-c", "exec \"$@\" 3>'\(directory.file("reports"))'", "sh"]
    running = try RunningProgram(
      shell + [LeakTrace.program, "trace", "--format", "json", "--output", "/dev/fd/3"] + leakCheck + options + [
        interval
      ]
        + target, environment: environment, capturesErrors: true)
  }

  /// Returns with the first report, when every probe is on.
  convenience init(to program: TracedProgram, _ options: [String] = [], interval: String = "100ms") throws {
    try self.init(options, of: ["-p", String(program.processID)], interval: interval)
    _ = try nextReport()
  }

  /// The same of a process that is no program of ours.
  convenience init(to processIDs: [Int32], _ options: [String] = [], interval: String = "100ms") throws {
    try self.init(options, of: processIDs.flatMap { ["-p", String($0)] }, interval: interval)
    _ = try nextReport()
  }

  /// Runs a command and waits until it is ready for its first step.
  convenience init(
    running command: [String], _ options: [String] = [], environment: [String: String] = [:],
    interval: String = "100ms"
  ) throws {
    try self.init(
      options, of: ["--"] + command, interval: interval, environment: environment.merging(["STEPS": "1"]) { $1 })
    try waitForCommand()
  }

  // MARK: The traced command

  /// Lets the command do its next step and waits until it is done.
  func step() throws {
    running.send("go\n")
    try waitForCommand()
  }

  private func waitForCommand() throws {
    while true {
      let line = running.readLine(timeout: patience)
      if line == "ready" { return }
      if line.isEmpty { throw failure() }
      commandOutput.append(line)
    }
  }

  // MARK: Reports

  /// The next report that leaktrace makes on its own and that this has not returned before.
  func nextReport() throws -> LeakReport {
    let report = try self.report(reportsRead)
    reportsRead += 1
    return report
  }

  /// A report whose check has begun after this call.
  func freshReport() throws -> LeakReport {
    // The one under way may be older.
    readFile()
    reportsRead = reports.count + 1
    return try nextReport()
  }

  private func report(_ index: Int) throws -> LeakReport {
    _ = eventually(within: patience) {
      readFile()
      return reports.count > index || processState(running.processID) == "Z"
    }
    guard reports.count > index else { throw failure() }
    return try LeakReport(json: String(decoding: reports[index], as: UTF8.self))
  }

  /// Takes what has been added to the file.
  private func readFile() {
    if file < 0 { file = open(directory.file("reports"), O_RDONLY | O_CLOEXEC) }
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while file >= 0 {
      let count = read(file, &chunk, chunk.count)
      if count <= 0 { return }
      for part in chunk[..<count].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
        if part.offset > 0 {
          reports.append(unread)
          unread = []
        }
        unread += part.element
      }
    }
  }

  deinit { if file >= 0 { close(file) } }

  // MARK: The end

  /// Ends leaktrace as Ctrl-C does and returns its last report.
  func interrupt() throws -> LeakReport {
    Glibc.kill(running.processID, SIGINT)
    return try lastReport(status: 130)
  }

  /// The same when it runs a command, which goes on for as long as it has input: the report is of what it does now.
  func interruptAndEnd() throws -> LeakReport {
    Glibc.kill(running.processID, SIGINT)
    _ = eventually(within: patience) { processState(running.processID) == "Z" }
    running.closeInput()
    return try lastReport(status: 130)
  }

  /// Waits for the end of a command that needs no more input, and returns the last report.
  func end() throws -> LeakReport {
    running.closeInput()
    return try lastReport(status: nil)
  }

  /// - Parameter status: nil: that of the command, whatever it is.
  private func lastReport(status: Int32?) throws -> LeakReport {
    let outcome = LeakTrace.finish(running)
    readFile()
    guard status == nil || outcome.status == status, let line = reports.last else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return try LeakReport(json: String(decoding: line, as: UTF8.self))
  }

  private func failure() -> ToolFailure {
    Glibc.kill(running.processID, SIGTERM)
    let outcome = LeakTrace.finish(running)
    return ToolFailure(
      command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
  }
}
