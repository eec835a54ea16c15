import AllocationTracing
import ArgumentParser
import Glibc
import ReportAnalysis
import ReportFormats
import Symbolization
import TraceModel

/// `leaktrace verify`: whether a fix worked.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compares two recordings: what is fixed, what still leaks, what is new.",
    discussion: """
      Takes BEFORE and AFTER, recordings of the same program under the same load (`trace --leak-check --output FILE.pb.gz`), \
      or two moments of a history that `watch` keeps. \
      Amounts are compared per second, or per unit of work with --work-before and --work-after. Exit code 0 when nothing \
      leaks any more, 1 when something does.
      """)

  @Argument(help: "Recordings from before and after the change.")
  var recordings: [String] = []

  @Option(name: .customLong("history"), help: "Compare two snapshots of this history, which watch keeps, instead.")
  var historyPath: String?

  @Option(help: "With --history: a moment before the change; the last snapshot until then is taken.")
  var before: String?

  @Option(help: "With --history: a moment after it; the first snapshot that began then or later is taken.")
  var after: String?

  @Option(help: "With --history: only snapshots of this process id or command.")
  var target: String?

  @Option(help: "Units of work (such as requests served) during BEFORE.")
  var workBefore: Double?

  @Option(help: "Units of work during AFTER.")
  var workAfter: Double?

  @Option(help: "Bytes per second, or per unit of work, that a call stack may grow by (0).")
  var maxGrowth: ByteCount?

  @Option(name: [.customShort("T"), .customLong("top")], help: "Show N call stacks (text: 10).")
  var top: Int?

  @Flag(help: "Do not shorten long template names in text.")
  var fullNames = false

  @Option(help: "text, json, junit or html.")
  var format: String?

  @Option(help: "Write to this file instead of standard output.")
  var output: String?

  mutating func validate() throws {
    if historyPath == nil {
      guard recordings.count == 2 else {
        throw ValidationError("name two recordings: BEFORE and AFTER, or a --history")
      }
      if before != nil || after != nil || target != nil {
        throw ValidationError("--before, --after and --target go with --history")
      }
    } else {
      guard recordings.isEmpty, let before, let after else {
        throw ValidationError("--history needs --before TIME and --after TIME, and no recordings")
      }
      guard try PointInTime.parse(before, now: unixSeconds()) <= PointInTime.parse(after, now: unixSeconds()) else {
        throw ValidationError("--before must not be later than --after")
      }
    }
    if (workBefore == nil) != (workAfter == nil) {
      throw ValidationError("--work-before and --work-after go together")
    }
    for work in [workBefore, workAfter] {
      if let work, !(work > 0 && work.isFinite) { throw ValidationError("units of work must be more than 0") }
    }
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 stack") }
    _ = try chosenFormat()
  }

  mutating func run() throws {
    var comparison = ReportComparison()
    comparison.threshold = Double(maxGrowth?.value ?? 0)
    if let workBefore, let workAfter { comparison.work = (workBefore, workAfter) }
    let pair = try reports()
    let result = comparison.compare(pair.before, pair.after)
    var options = TextOptions()
    options.top = top ?? 10
    options.fullNames = fullNames
    options.shortenFunctionName = FunctionNameShortener().shorten
    try write(try chosenFormat().render(result, options))
    if !result.hasPassed { throw ExitCode(Failure.leakFound) }
  }

  private func reports() throws -> (before: Report, after: Report) {
    guard let historyPath, let before, let after else {
      return (try Recording.read(recordings[0]), try Recording.read(recordings[1]))
    }
    return try HistoryReading(path: historyPath).pair(
      before: try PointInTime.parse(before, now: unixSeconds()),
      after: try PointInTime.parse(after, now: unixSeconds()),
      target: target)
  }

  private func chosenFormat() throws -> ComparisonFormat {
    let formats = ComparisonFormat.all
    if let format {
      guard let found = formats.first(where: { $0.name == format }) else {
        throw ValidationError("--format \(format): there is \(formats.map(\.name).joined(separator: ", "))")
      }
      return found
    }
    guard let output else { return formats[0] }
    return formats.first { $0.suffixes.contains { output.hasSuffix("." + $0) } } ?? formats[0]
  }

  private func write(_ bytes: [UInt8]) throws {
    var descriptor = STDOUT_FILENO
    if let output, output != "-" {
      descriptor = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else {
        throw TraceError("--output \(output) cannot be written: \(String(cString: strerror(errno)))")
      }
    }
    guard writeAll(String(decoding: bytes, as: UTF8.self), to: descriptor) else {
      throw TraceError("the comparison cannot be written: \(String(cString: strerror(errno)))")
    }
  }
}
