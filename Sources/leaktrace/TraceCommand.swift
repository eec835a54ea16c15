import Accounting
import AllocationTracing
import ArgumentParser
import Glibc
import LeakAnalysis
import ReportFormats
import Session
import TraceModel

/// `leaktrace trace`: its options, and how they become a trace.
struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Reports outstanding allocations of running processes, or of a command, by call stack.",
    discussion: """
      Attaches to processes (-p, --comm, --cgroup, --all) or runs a command (after --, or -c) and prints what they allocated and have \
      not freed every INTERVAL seconds, COUNT times. Without INTERVAL a running process is reported every 5 seconds, \
      and a command once, at its end. Ctrl-C prints the last report. Needs root.

      Exit codes: of `trace -- CMD` the status of CMD, or 128 + the signal that ended it; else 0. With --fail-on-leak: 1 when \
      something leaks, 3 when that cannot be told because a check did not take place or records are missing; both come \
      before the status of CMD. 2: usage, or an error of leaktrace's own; 128 + signal: leaktrace was ended by one. \
      docs/exit-codes.md has all.
      """)

  @Option(
    name: [.customShort("p"), .customLong("pid")],
    help: ArgumentHelp("Trace this process; several with commas or several times.", valueName: "pid"))
  var processes: [ProcessIDs] = []

  private var processIDs: [Int32] { processes.flatMap(\.values) }

  @Option(name: .customLong("comm"), help: "Trace every process with this command name.")
  var commandNames: [String] = []

  @Option(
    name: .customLong("cgroup"),
    help: "Trace every process of this control group: its path, the name of a unit, or the id of a container.")
  var controlGroups: [String] = []

  @Flag(name: .customLong("all"), help: "Trace every process of this host.")
  var takesAll = false

  @Option(name: [.customShort("c"), .customLong("command")], help: "Run this command line and trace it.")
  var commandLine: String?

  @Argument(help: "Seconds between reports.")
  var interval: String?

  @Argument(help: "Number of reports.")
  var count: Int?

  @Argument(parsing: .postTerminator, help: "Run this command and trace it from its first allocation.")
  var command: [String] = []

  @Option(help: "Stop after this time (seconds, or with ms, s, m, h).")
  var duration: String?

  @Flag(name: [.customShort("t"), .customLong("trace")], help: "Print every allocation and free as it happens.")
  var printsEvents = false

  @Flag(name: [.customShort("a"), .customLong("show-allocs")], help: "List every outstanding block of each stack.")
  var showsBlocks = false

  @Option(
    name: [.customShort("o"), .customLong("older"), .customLong("min-age")],
    help: "Leave out blocks younger than this (milliseconds, or with ms, s, m, h). Default 0.")
  var minimumAge: String?

  @Flag(help: "Only totals per stack, no pass over single blocks.")
  var combinedOnly = false

  @Flag(help: "Accepted for memleak; an address handed out again always counts as freed.")
  var waMissingFree = false

  @Flag(help: "Accepted for memleak; per-CPU memory is the kernel's.")
  var percpu = false

  @Option(
    name: [.customShort("s"), .customLong("sample-rate")],
    help: "Record one allocation in N, at random; totals are scaled up.")
  var sampleRate: UInt32?

  @Option(
    help: "Record a random sample with this mean number of bytes between samples (K, M); totals are unbiased estimates."
  )
  var sampleBytes: ByteCount?

  @Option(name: [.customShort("T"), .customLong("top")], help: "Show the N largest stacks (text: 10).")
  var top: Int?

  @Option(name: [.customShort("z"), .customLong("min-size")], help: "Record only blocks of at least this size.")
  var minimumSize: ByteCount?

  @Option(name: [.customShort("Z"), .customLong("max-size")], help: "Record only blocks of at most this size.")
  var maximumSize: ByteCount?

  @Option(name: [.customShort("O"), .customLong("obj")], help: "Probe the allocator in this object file only.")
  var objectPath: String?

  @Option(
    name: [.customShort("S"), .customLong("symbols-prefix")],
    help: "The allocator's functions have this prefix, as in je_malloc.")
  var symbolPrefix: String?

  @Option(name: .customLong("alloc"), help: "A function of yours that allocates: \(CustomAllocatorSpec.allocateHelp).")
  var allocators: [String] = []

  @Option(name: .customLong("free"), help: "A function of yours that frees: \(CustomAllocatorSpec.freeHelp).")
  var frees: [String] = []

  @Option(help: "Order of the stacks: bytes (size), count, age or growth since the last report.")
  var sort = SortOrder.bytes

  @Option(
    name: .customLong("format"),
    help: ArgumentHelp("\(ReportFormats.all.names). \(OutputPairing.rule)", valueName: "format"))
  var formats: [OrderedValue] = []

  @Option(
    name: .customLong("output"),
    help: ArgumentHelp(
      "Write reports to this file instead of standard output: it holds the last one, whole. Several allowed.",
      valueName: "output"))
  var outputs: [OrderedValue] = []

  @Flag(inversion: .prefixedNo, help: "Trace children of the traced processes too.")
  var follow = true

  @Flag(name: .customLong("threads"), help: "Tell apart what threads allocate (for `report --by thread`).")
  var separatesThreads = false

  @Flag(name: .customLong("no-mappings"), help: "Do not trace mmap, munmap, mremap and brk.")
  var leavesOutMappings = false

  @Option(help: "Outstanding blocks that are kept one by one; when there are more, a sample of them is kept.")
  var maxAllocations: Int?

  @Flag(name: .customLong("exact"), help: "Keep no sample: blocks beyond --max-allocations are left out and counted.")
  var isExact = false

  @Option(
    name: [.customLong("max-stacks"), .customLong("max-sites")],
    help: "Distinct call stacks; blocks from further ones are refused and counted.")
  var maxStacks: Int?

  @Option(help: "Processes traced at a time (128, at most 1000); further ones are counted.")
  var maxProcesses: Int?

  @OptionGroup(title: "Leak check")
  var leakCheck: LeakCheckOptions

  @Flag(help: "Do not shorten long template names in text.")
  var fullNames = false

  @OptionGroup var display: DisplayOptions

  @Flag(name: .customLong("tui"), help: "On a terminal: a live screen like that of top.")
  var isLive = false

  @Option(name: .customLong("on-report"), help: "Run this shell command after each report, with the JSON on its input.")
  var onReport: String?

  @Flag(name: [.customShort("v"), .customLong("verbose")], help: "List the probed places and what they cost.")
  var verbose = false

  @Flag(
    help: """
      Lead the allocator functions of the traced processes through a page of code of leaktrace's instead of probing them: with \
      --sample-bytes, -s, -z or -Z a call that is not recorded costs nanoseconds. What cannot be led there is probed.
      """)
  var gate = false

  @Flag(help: .hidden)
  var probeEntries = false

  @Flag(help: .hidden)
  var perfLinks = false

  @Flag(help: .hidden)
  var framePointers = false

  @Flag(help: .hidden)
  var unwinderRefused = false

  mutating func validate() throws {
    if commandLine != nil, !command.isEmpty {
      throw ValidationError("give the command either with -c or after --, not both")
    }
    let namesProcesses = !processIDs.isEmpty || !commandNames.isEmpty || !controlGroups.isEmpty || takesAll
    if runsCommand, namesProcesses {
      throw ValidationError("trace either running processes or a command, not both")
    }
    if !runsCommand, !namesProcesses {
      throw ValidationError(
        "nothing to trace: name a process with -p PID, or a command after --; see leaktrace trace --help")
    }
    for processID in processIDs where processID <= 0 {
      throw ValidationError("-p \(processID): a process id is a positive number")
    }
    if controlGroups.contains(where: { $0.allSatisfy { $0 == "/" } }) {
      throw ValidationError("--cgroup: name a control group; --all traces every process")
    }
    if takesAll, !processIDs.isEmpty || !commandNames.isEmpty || !controlGroups.isEmpty {
      throw ValidationError("--all traces every process: leave out -p, --comm and --cgroup")
    }
    if let interval, try TimeValue.parse(interval, plainUnit: .seconds(1)) <= .zero {
      throw ValidationError("the INTERVAL must be more than 0 seconds")
    }
    if let count, count <= 0 { throw ValidationError("the COUNT of reports must be at least 1") }
    if let duration, try TimeValue.parse(duration, plainUnit: .seconds(1)) <= .zero {
      throw ValidationError("the --duration must be more than 0")
    }
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 stack") }
    if sampleRate == 0 { throw ValidationError("-s 0: record one allocation in N, N at least 1") }
    if let sampleBytes, !(1...(1 << 32)).contains(sampleBytes.value) {
      throw ValidationError("--sample-bytes must be from 1 to 4G")
    }
    if sampleRate != nil, sampleBytes != nil {
      throw ValidationError("sample by -s or by --sample-bytes, not both")
    }
    if let minimumSize, let maximumSize, minimumSize.value > maximumSize.value {
      throw ValidationError("-z \(minimumSize.value) is more than -Z \(maximumSize.value): nothing would be recorded")
    }
    if let maxAllocations, !(1...100_000_000).contains(maxAllocations) {
      throw ValidationError("--max-allocations must be from 1 to 100000000")
    }
    if let maxStacks, !(1...400_000).contains(maxStacks) {
      throw ValidationError("--max-stacks must be from 1 to 400000")
    }
    if let maxProcesses, !(1...1000).contains(maxProcesses) {
      throw ValidationError("--max-processes must be from 1 to 1000")
    }
    if leakCheck.mode != nil { try validateLeakCheck() }
    _ = try destinations()
    _ = try discovery()
    if let minimumAge { _ = try TimeValue.parse(minimumAge, plainUnit: .milliseconds(1)) }
  }

  private func validateLeakCheck() throws {
    if sampleRate ?? 1 != 1 || sampleBytes != nil {
      throw ValidationError("--leak-check needs every block: a sample (-s, --sample-bytes) does not do")
    }
    if combinedOnly { throw ValidationError("--leak-check looks at single blocks, --combined-only does not") }
    if leakCheck.hexdump, !showsBlocks {
      throw ValidationError("--hexdump shows bytes of the blocks that -a lists: add -a")
    }
  }

  mutating func run() throws {
    let code = try TraceRunner(try plan()).run()
    if code != 0 { throw ExitCode(code) }
  }

  // MARK: What the options mean

  private func plan() throws -> TracePlan {
    var plan = TracePlan(
      subject: try subject(), trace: configuration(), discovery: try discovery(), request: try request(),
      schedule: try schedule(), destinations: try destinations())
    plan.top = top
    plan.onReport = onReport
    plan.isLive = isLive
    plan.printsEvents = printsEvents
    plan.showsBlocks = showsBlocks
    plan.isVerbose = verbose
    plan.fullNames = fullNames
    plan.display = display.settings
    plan.leakCheck = try leakCheck.plan()
    return plan
  }

  private var runsCommand: Bool { commandLine != nil || !command.isEmpty }

  private func subject() throws -> TracePlan.Subject {
    guard runsCommand else { return .running(selection) }
    return .command(try commandLine.map { try TargetCommand.split($0) } ?? command)
  }

  private func schedule() throws -> ReportSchedule {
    var interval = try interval.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    let duration = try duration.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    if interval == nil, !runsCommand, duration == nil { interval = .seconds(5) }
    return ReportSchedule(interval: interval, count: count, duration: duration)
  }

  private func configuration() -> TraceConfiguration {
    var configuration = TraceConfiguration()
    configuration.sizes = (minimumSize?.value ?? 0)...(maximumSize?.value ?? .max)
    configuration.sampleMeanInBytes = sampleBytes?.value
    configuration.sampleEveryNth = sampleRate == 1 ? nil : sampleRate
    if let maxAllocations { configuration.maximumAllocations = maxAllocations }
    configuration.refusesBeyondMaximum = isExact
    if let maxStacks { configuration.maximumSites = maxStacks }
    if let maxProcesses { configuration.maximumProcesses = maxProcesses }
    // An open selection can take in any number of programs, so the tables for their call stacks need more room than
    // that for one.
    if selection.isOpen { configuration.maximumUnwindTableBytes = 64 << 20 }
    configuration.followsForks = follow
    configuration.countsEnded = runsCommand
    configuration.tracesMappings = !leavesOutMappings
    configuration.emitsEvents = printsEvents
    configuration.separatesThreads = separatesThreads
    configuration.probesFunctionEntries = probeEntries
    configuration.avoidsMultiLinks = perfLinks
    configuration.usesFramePointers = framePointers
    configuration.usesGates = gate
    configuration.looksAtRetention = leakCheck.mode != nil || verbose
    configuration.watchesFrees = leakCheck.mode != nil
    configuration.refusesUnwinder = unwinderRefused
    return configuration
  }

  private func discovery() throws -> AllocatorDiscovery.Options {
    var options = AllocatorDiscovery.Options()
    options.symbolPrefix = symbolPrefix
    options.objectPath = objectPath
    options.emulation = .runningKernel
    do {
      for text in allocators {
        options.customFunctions.append(try CustomAllocatorSpec(parsingAllocate: text))
      }
      for text in frees { options.customFunctions.append(try CustomAllocatorSpec(parsingFree: text)) }
    } catch {
      throw ValidationError("\(error)")
    }
    return options
  }

  private func request() throws -> ReportRequest {
    var request = ReportRequest()
    if let minimumAge {
      request.minimumAge = try TimeValue.parse(minimumAge, plainUnit: .milliseconds(1))
    }
    request.listsBlocks = showsBlocks
    request.explainsStacks = verbose
    request.combinedOnly = combinedOnly
    request.order = sort.order
    if leakCheck.mode == .full { request.selection = leakCheck.selection }
    request.suppressions = try leakCheck.suppressions()
    return request
  }

  private var selection: TargetSelection {
    TargetSelection(
      processIDs: processIDs, commandNames: commandNames, controlGroups: controlGroups, takesAll: takesAll)
  }

  /// Where reports go, and in which format.
  private func destinations() throws -> [ReportDestination] {
    try ReportDestination.all(of: OrderedValue.words(formats: formats, outputs: outputs))
  }
}
