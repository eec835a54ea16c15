import AllocationTracing
import ArgumentParser
import Glibc
import ReportAnalysis
import ReportFormats
import Session
import Symbolization
import SystemSupport
import TraceModel

/// `leaktrace verify`: tells whether a fix worked.
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compares two recordings, or rounds of load on a running process: what is fixed, what still leaks.",
    usage: """
      leaktrace verify [<options>] <before> <after>
      leaktrace verify --live -p PID --load CMD [--rounds N] [<options>]
      """,
    discussion: """
      Takes BEFORE and AFTER, recordings of the same program under the same load (`trace --leak-check --output FILE.pb.gz`), \
      or two moments of a history that `watch` keeps. \
      Amounts are compared per second, or per unit of work with --work-before and --work-after, and by how often the same \
      stacks allocated. Recordings of different programs are not compared (--force): by build id, executable, script, \
      allocator and kernel; another build of one program is.

      Exit codes: 0 nothing leaks any more; 1 something leaks; 2 usage, or a file that cannot be read; 3 cannot tell: \
      different programs, missing records, too little work or time, or a stack that did not run. docs/exit-codes.md has all.

      With --live it traces a running process, runs the --load command again and again (such as `ab -n 1000 URL`), and says \
      whether the memory that a round takes comes back, and what does not.
      """)

  @Argument(help: "Recordings from before and from after the change.")
  var recordings: [String] = []

  @Flag(help: "Trace a running process under rounds of load instead.")
  var live = false

  @Option(
    name: [.customShort("p"), .customLong("pid")],
    help: ArgumentHelp("With --live: the process; several with commas or several times.", valueName: "pid"))
  var processes: [ProcessIDs] = []

  private var processIDs: [Int32] { processes.flatMap(\.values) }

  @Option(help: "With --live: the command of one round of load, for the shell.")
  var load: String?

  @Option(help: "With --live: how many rounds to compare (8).")
  var rounds: Int?

  @Option(help: "With --live: rounds before the first that counts (1).")
  var warmUp: Int?

  @Option(help: "With --live: wait this long after a round (200ms).")
  var settle: String?

  @Option(help: "With --live: units of work (such as requests) in a round.")
  var workPerRound: Double?

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

  @Flag(help: "Compare although the recordings seem to be of different programs.")
  var force = false

  @Flag(help: "Take a stack whose allocations do not happen in AFTER any more for fixed, not for one that did not run.")
  var acceptGone = false

  @Option(name: [.customShort("T"), .customLong("top")], help: "Show N call stacks (text: 10).")
  var top: Int?

  @Flag(help: "Do not shorten long template names in text.")
  var fullNames = false

  @OptionGroup var colors: ColorOptions

  @OptionGroup var paging: PagerOptions

  @Option(
    help: ArgumentHelp(
      "\(ComparisonFormat.all.alternatives). Without it: that of the output's suffix.", valueName: "format"))
  var format: OrderedValue?

  @Option(help: ArgumentHelp("Write to this file instead of standard output.", valueName: "output"))
  var output: OrderedValue?

  mutating func validate() throws {
    try live ? validateLive() : validateRecordings()
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 stack") }
    _ = try chosenFormat()
  }

  private func validateLive() throws {
    if !recordings.isEmpty { throw ValidationError("--live compares no recordings: \(recordings[0])") }
    if workBefore != nil || workAfter != nil { throw ValidationError("with --live it is --work-per-round") }
    if historyPath != nil || before != nil || after != nil || target != nil {
      throw ValidationError("--live compares no moments of a history")
    }
    if processIDs.isEmpty { throw ValidationError("--live needs a process: -p PID") }
    if let wrong = processIDs.first(where: { $0 <= 0 }) {
      throw ValidationError("-p \(wrong): process ids are positive")
    }
    if load == nil { throw ValidationError("--live needs a load: --load CMD") }
    if let rounds, !(RoundsAnalysis.minimumRounds...10_000).contains(rounds) {
      throw ValidationError("--rounds must be from \(RoundsAnalysis.minimumRounds) to 10000")
    }
    if let warmUp, !(0...10_000).contains(warmUp) { throw ValidationError("--warm-up must be from 0 to 10000") }
    if let workPerRound, !(workPerRound > 0 && workPerRound.isFinite) {
      throw ValidationError("units of work must be more than 0")
    }
    _ = try settling()
  }

  private func settling() throws -> Duration { try TimeValue.parse(settle ?? "200ms", plainUnit: .seconds(1)) }

  private func validateRecordings() throws {
    if historyPath == nil {
      guard recordings.count == 2 else {
        throw ValidationError("name two recordings, before and after (or --history, or --live)")
      }
      if before != nil || after != nil || target != nil {
        throw ValidationError("--before, --after and --target go with --history")
      }
    } else {
      guard recordings.isEmpty, let before, let after else {
        throw ValidationError("--history needs --before TIME and --after TIME, and no recordings")
      }
      guard try PointInTime.parse(before) <= PointInTime.parse(after) else {
        throw ValidationError("--before must not be later than --after")
      }
    }
    for (name, isSet) in [
      ("-p", !processIDs.isEmpty), ("--load", load != nil), ("--rounds", rounds != nil), ("--warm-up", warmUp != nil),
      ("--settle", settle != nil), ("--work-per-round", workPerRound != nil),
    ] where isSet { throw ValidationError("\(name) goes with --live") }
    if (workBefore == nil) != (workAfter == nil) {
      throw ValidationError("--work-before and --work-after go together")
    }
    for work in [workBefore, workAfter] {
      if let work, !(work > 0 && work.isFinite) { throw ValidationError("units of work must be more than 0") }
    }
  }

  mutating func run() throws {
    var signal: Int32 = 0
    let result = live ? try verifyLive(&signal) : try compareRecordings()
    var options = TextOptions()
    options.top = top ?? 10
    options.fullNames = fullNames
    options.shortenFunctionName = FunctionNameShortener().shorten
    colors.settings.apply(to: &options, isStandardOutput: output == nil)
    try write(try chosenFormat().render(result, options))
    if signal != 0 { throw ExitCode(Failure.ended(by: signal)) }
    switch result.answer {
    case .nothingLeaks: break
    case .leaking: throw ExitCode(Failure.leakFound)
    case .cannotTell: throw ExitCode(Failure.cannotTell)
    }
  }

  private func compareRecordings() throws -> Comparison {
    var comparison = ReportComparison()
    comparison.threshold = Double(maxGrowth?.value ?? 0)
    comparison.isForced = force
    comparison.acceptsGone = acceptGone
    if let workBefore, let workAfter { comparison.work = (workBefore, workAfter) }
    let pair = try reports()
    return comparison.compare(pair.before, pair.after)
  }

  private func verifyLive(_ signal: inout Int32) throws -> Comparison {
    var analysis = RoundsAnalysis()
    analysis.threshold = Double(maxGrowth?.value ?? 0)
    analysis.workPerRound = workPerRound
    var seen: Set<Int32> = []
    let verifier = try LiveVerifier(
      LiveVerifier.Plan(
        processIDs: processIDs.filter { seen.insert($0).inserted }, load: load ?? "", rounds: rounds ?? 8,
        warmUps: warmUp ?? 1, settling: try settling()))
    defer { signal = verifier.signal }
    return try verifier.run(analysis)
  }

  private func reports() throws -> (before: Report, after: Report) {
    guard let historyPath, let before, let after else {
      return (try Recording.read(recordings[0]), try Recording.read(recordings[1]))
    }
    return try HistoryReading(path: historyPath).pair(
      before: try PointInTime.parse(before),
      after: try PointInTime.parse(after),
      target: target)
  }

  private func chosenFormat() throws -> ComparisonFormat {
    try OutputPairing.format(of: (format?.text, output?.text), among: ComparisonFormat.all, needsSuffix: false)
  }

  private func write(_ bytes: [UInt8]) throws {
    if output == nil, try chosenFormat().name == "text", let pager = paging.pager, Pager.show(bytes, with: pager) {
      return
    }
    let document = try openOutput(output?.text)
    do throws(Refusal) { try document.write(bytes) } catch {
      throw Refusal("the comparison cannot be written: \(error)")
    }
  }
}
