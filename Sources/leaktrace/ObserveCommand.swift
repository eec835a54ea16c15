import ArgumentParser
import Glibc
import HostObservation
import ReportFormats
import Session
import SystemSupport

/// `leaktrace observe`: shows what grows on a host.
struct ObserveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "observe",
    abstract: "Ranks processes, control groups and kernel memory by their growth; without any probe.",
    discussion: """
      Looks at the host every --interval for the time of --for, judges for everything whether it grows, and orders it by \
      the time until the limit that applies. Ends with the command to run next. Without root other users' processes and \
      slab caches are left out.
      """)

  @Option(name: .customLong("for"), help: "How long to look (seconds, or with ms, s, m, h).")
  var duration = "60s"

  @Option(help: "Time between samples; default: a sixtieth of the time, at least 500ms.")
  var interval: String?

  @Option(name: .customLong("history"), help: "Judge what watch has kept in this file instead of looking now.")
  var historyPath: String?

  @Option(help: "With --history: from this moment on: 6h (ago), or 2026-11-23T08:00:00Z. Default 1h.")
  var since: String?

  @Option(
    help: ArgumentHelp(
      "\(ObservationFormat.all.alternatives). Without it: that of the output's suffix.", valueName: "format"))
  var format: OrderedValue?

  @Option(help: ArgumentHelp("Write to this file instead of standard output.", valueName: "output"))
  var output: OrderedValue?

  private func chosenFormat() throws -> ObservationFormat {
    try OutputPairing.format(of: (format?.text, output?.text), among: ObservationFormat.all, needsSuffix: false)
  }

  @Option(name: [.customShort("T"), .customLong("top")], help: "Show so many series (text: 15; other formats: 100).")
  var top: Int?

  @Flag(name: .customLong("fail-on-growth"), help: "Exit with 1 if anything grows that is no cache of the kernel's.")
  var failsOnGrowth = false

  mutating func validate() throws {
    guard try TimeValue.parse(duration, plainUnit: .seconds(1)) >= .seconds(5) else {
      throw ValidationError("--for \(duration): less than 5 seconds tell no trend")
    }
    let step = try step()
    guard step >= .milliseconds(100), try step * 10 <= TimeValue.parse(duration, plainUnit: .seconds(1)) else {
      throw ValidationError("the --interval must be 100ms at least and a tenth of the time at most")
    }
    if since != nil, historyPath == nil { throw ValidationError("--since goes with --history") }
    if let since { _ = try PointInTime.parse(since) }
    _ = try chosenFormat()
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 series") }
  }

  private func step() throws -> Duration {
    let whole = try TimeValue.parse(duration, plainUnit: .seconds(1))
    return try interval.map { try TimeValue.parse($0, plainUnit: .seconds(1)) } ?? max(.milliseconds(500), whole / 60)
  }

  mutating func run() throws {
    var plan = ObservePlan(
      duration: try TimeValue.parse(duration, plainUnit: .seconds(1)), interval: try step(),
      format: try chosenFormat())
    if let historyPath {
      plan.history = (historyPath, try PointInTime.parse(since ?? "1h"))
    }
    plan.output = output.flatMap { $0.text == "-" ? nil : $0.text }
    plan.top = top
    plan.failsOnGrowth = failsOnGrowth
    let code = try ObserveRunner(plan).run()
    if code != 0 { throw ExitCode(code) }
  }
}
