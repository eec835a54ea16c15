import Glibc
import TestTools

/// Programs of Tests/Programs, each compiled once per run of the tests.
enum Programs {
  private static let directory = try! TemporaryDirectory()
  // Only the serial suites compile.
  nonisolated(unsafe) private static var compiled: [[String]: String] = [:]

  static let sources =
    #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Programs/"

  /// Where the compiled programs lie.
  static var path: String { directory.path }

  /// Compiles a source file with `-O2 -g` and more options; the compiler goes by the suffix.
  static func compile(
    _ source: String, _ options: [String] = [], compiler: String? = nil, suffix: String = ""
  ) throws -> String {
    let compiler = compiler ?? (source.hasSuffix(".cpp") ? "g++" : "gcc")
    let key = [source, compiler, suffix] + options
    if let path = compiled[key] { return path }
    if let path = prepared([source] + options) {
      compiled[key] = path
      return path
    }
    let stem = source.split(separator: "/").last!.prefix { $0 != "." }
    // The number keeps apart what differs only by its options.
    let path = directory.file("\(stem)-\(compiled.count)\(suffix)")
    try run(
      [compiler, "-O2", "-g", "-Wall", "-o", path, sources + source] + options + ["-pthread", "-ldl"])
    compiled[key] = path
    return path
  }
}

extension Programs {
  /// A program that was compiled before, where LEAKTRACE_TEST_PROGRAMS names their directory: a virtual machine has no
  /// compiler. Its file is called like its source and options.
  private static func prepared(_ words: [String]) -> String? {
    guard let directory = getenv("LEAKTRACE_TEST_PROGRAMS") else { return nil }
    let path = String(cString: directory) + "/" + words.joined(separator: "_")
    return access(path, X_OK) == 0 ? path : nil
  }
}

/// A program that waits at its start for a line, so that a tracer can be attached, and does so again whenever it is
/// done with what it was told; see Tests/Programs/steps.h.
final class TracedProgram {
  private let running: RunningProgram
  var processID: Int32 { running.processID }

  init(_ command: [String], environment: [String: String] = [:]) throws {
    running = try RunningProgram(command, environment: environment.merging(["STEPS": "1"]) { $1 })
    try wait()
  }

  /// Lets the program do its next step and waits until it is done.
  func step() throws {
    running.send("go\n")
    try wait()
  }

  /// Lets the program do its last step, of which there will be no word.
  func letGo() { running.send("go\n") }

  /// Sends it a line without waiting.
  func send(_ line: String) { running.send(line + "\n") }

  /// The next line that the program prints.
  func readLine() -> String { running.readLine(timeout: patience) }

  func wait() throws {
    let line = running.readLine(timeout: patience)
    guard line == "ready" else {
      throw ToolFailure(command: "program under test", status: 0, output: line)
    }
  }

  /// Waits for its end and returns its exit code, or 128 + signal.
  func end() -> Int32 { running.wait() }

  /// Whether it is there and neither stopped nor ended.
  var isRunning: Bool { ["S", "R", "D"].contains(processState(processID)) }
}

/// The state letter of /proc/PID/stat, `S` for asleep and so on; nil when there is no such process.
func processState(_ processID: Int32) -> Character? {
  let stat = String(decoding: contents(of: "/proc/\(processID)/stat"), as: UTF8.self)
  return stat.split(separator: ")").last?.first { $0 != " " }
}
