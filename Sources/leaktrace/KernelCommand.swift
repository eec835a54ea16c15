import Accounting
import ArgumentParser
import Glibc
import KernelTracing
import ReportFormats
import Session
import TraceModel

/// `leaktrace kernel`: its options, and how they become a trace of the kernel.
struct KernelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel",
    abstract: "Reports outstanding allocations of the kernel by caller, slab cache and process.",
    discussion: """
      Prints what the kernel's allocators (kmalloc and slab caches, vmalloc, per-CPU memory, and pages with --pages) \
      handed out since the start and have not got back, every INTERVAL seconds, COUNT times. Call stacks are taken for \
      what looks like a leak, or for everything with --stacks all. --where only says where all memory is. Needs root.
      """)

  @Argument(help: "Seconds between reports (5).")
  var interval: String?

  @Argument(help: "Number of reports.")
  var count: Int?

  @Option(help: "Stop after this time (seconds, or with ms, s, m, h).")
  var duration: String?

  @Option(name: .customLong("source"), help: "Trace only these: slab, vmalloc, percpu, pages (comma-separated).")
  var sources: String?

  @Flag(help: "Trace the page allocator, too.")
  var pages = false

  @Flag(help: "Trace per-CPU memory only, as memleak does.")
  var percpu = false

  @Option(name: .customLong("cache"), help: "Only this slab cache, by any of its names; can be given several times.")
  var caches: [String] = []

  @Option(name: .customLong("call-site"), help: "Only what this kernel function asks for; can be given several times.")
  var callSites: [String] = []

  @Option(
    name: [.customShort("p"), .customLong("pid")],
    help: ArgumentHelp(
      "Only what these processes ask for: several with commas, or the option several times.", valueName: "pid"))
  var processes: [ProcessIDs] = []

  private var processIDs: [Int32] { processes.flatMap(\.values) }

  @Option(name: .customLong("comm"), help: "Only what tasks with this command name ask for.")
  var commandName: String?

  @Option(
    help: "Only what tasks of this control group (v2) ask for: its path, the name of a unit, or the id of a container.")
  var cgroup: String?

  @Option(help: "Call stacks: all, suspects or none.")
  var stacks = StackChoice.suspects

  @Flag(name: [.customShort("t"), .customLong("trace")], help: "Print every allocation and free as it happens.")
  var printsEvents = false

  @Flag(name: [.customShort("a"), .customLong("show-allocs")], help: "List every outstanding block of each site.")
  var showsBlocks = false

  @Option(
    name: [.customShort("o"), .customLong("older"), .customLong("min-age")],
    help: "Leave out blocks younger than this (milliseconds, or with ms, s, m, h). Default 0.")
  var minimumAge: String?

  @Flag(help: "Only totals per site, no pass over single blocks.")
  var combinedOnly = false

  @Flag(help: "Accepted for memleak; an address handed out again always counts as freed.")
  var waMissingFree = false

  @Option(
    name: [.customShort("s"), .customLong("sample-rate")],
    help: "Record one allocation in N, chosen at random; totals are estimates.")
  var sampleEveryNth: Int?

  @Flag(name: .customLong("exact"), help: "Keep no sample: blocks beyond --max-allocations are left out and counted.")
  var isExact = false

  @Option(name: [.customShort("T"), .customLong("top")], help: "Show the N largest sites (text: 10).")
  var top: Int?

  @Option(name: [.customShort("z"), .customLong("min-size")], help: "Record only blocks of at least this size.")
  var minimumSize: ByteCount?

  @Option(name: [.customShort("Z"), .customLong("max-size")], help: "Record only blocks of at most this size.")
  var maximumSize: ByteCount?

  @Option(help: "Order of the sites: bytes (size), count, age or growth.")
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

  @Option(help: "Blocks that can be outstanding at once; further ones are refused and counted.")
  var maxAllocations: Int?

  @Option(
    name: [.customLong("max-sites"), .customLong("max-stacks")],
    help: "Distinct callers and stacks; blocks from further ones are refused and counted.")
  var maxSites: Int?

  @Flag(name: .customLong("all"), help: "Show also what is left out otherwise, such as reclaimable caches.")
  var showsEverything = false

  @OptionGroup var display: DisplayOptions

  @Flag(name: .customLong("tui"), help: "On a terminal: a live screen like that of top.")
  var isLive = false

  @Flag(help: "Print where the memory of the host is, without any probe, and end.")
  var `where` = false

  @Flag(name: [.customShort("v"), .customLong("verbose")], help: "List the probes, and what the kernel has none for.")
  var verbose = false

  @Option(
    name: .customLong("methods"),
    help: ArgumentHelp("Use only these ways to see the kernel: raw_tp, kprobe, polling.", visibility: .hidden))
  var methods: String?

  enum StackChoice: String, ExpressibleByArgument, CaseIterable {
    case all, suspects, none
  }

  mutating func validate() throws {
    if let interval, try TimeValue.parse(interval, plainUnit: .seconds(1)) <= .zero {
      throw ValidationError("the INTERVAL must be more than 0 seconds")
    }
    if let count, count <= 0 { throw ValidationError("the COUNT of reports must be at least 1") }
    if let duration, try TimeValue.parse(duration, plainUnit: .seconds(1)) <= .zero {
      throw ValidationError("the --duration must be more than 0")
    }
    if let processID = processIDs.first(where: { $0 <= 0 }) {
      throw ValidationError("-p \(processID): a process id is a positive number")
    }
    if processIDs.count > KernelTraceConfiguration.maximumProcesses {
      throw ValidationError("-p: at most \(KernelTraceConfiguration.maximumProcesses) processes, or a --cgroup")
    }
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 site") }
    if let minimumSize, let maximumSize, minimumSize.value > maximumSize.value {
      throw ValidationError("-z \(minimumSize.value) is more than -Z \(maximumSize.value): nothing would be recorded")
    }
    if let maxAllocations, !(1...100_000_000).contains(maxAllocations) {
      throw ValidationError("--max-allocations must be from 1 to 100000000")
    }
    if let maxSites, !(1...400_000).contains(maxSites) { throw ValidationError("--max-sites must be from 1 to 400000") }
    if let commandName, commandName.utf8.count > 15 {
      throw ValidationError("--comm \(commandName): the kernel keeps 15 characters of a command name")
    }
    if let sampleEveryNth, !(1...1_000_000).contains(sampleEveryNth) {
      throw ValidationError("-s \(sampleEveryNth): record one allocation in 1 to 1000000")
    }
    if combinedOnly, showsBlocks || minimumAge != nil || sort == .age {
      throw ValidationError("--combined-only leaves out the pass over single blocks that -a, -o and --sort age need")
    }
    if stacks == .none, try traced().contains(.pages) {
      throw ValidationError(
        "--pages needs call stacks, to tell the pages of slab caches from others: not with --stacks none")
    }
    if isLive, printsEvents { throw ValidationError("--tui shows no single events: not with -t") }
    if callSites.count > 8 { throw ValidationError("--call-site: at most 8 functions") }
    if let minimumAge { _ = try TimeValue.parse(minimumAge, plainUnit: .milliseconds(1)) }
    _ = try traced()
    _ = try allowedMethods()
    _ = try destinations()
  }

  mutating func run() throws {
    if `where` {
      try KernelRunner.printWhere(in: destinations(), top: top)
      return
    }
    let code = try KernelRunner(try plan()).run()
    if code != 0 { throw ExitCode(code) }
  }

  // MARK: What the options mean

  private func traced() throws -> Set<KernelSource> {
    var result: Set<KernelSource> = percpu ? [.percpu] : [.slab, .vmalloc, .percpu]
    if let sources {
      result = []
      for name in sources.split(separator: ",") {
        guard let source = KernelSource(rawValue: String(name)) else {
          throw ValidationError("--source \(name): there is slab, vmalloc, percpu, pages")
        }
        result.insert(source)
      }
      if result.isEmpty { throw ValidationError("--source: name at least one of slab, vmalloc, percpu, pages") }
    }
    if pages { result.insert(.pages) }
    return result
  }

  private func allowedMethods() throws -> Set<KernelHook.Method> {
    guard let methods else { return Set(KernelHook.Method.allCases) }
    var result: Set<KernelHook.Method> = []
    for name in methods.split(separator: ",") {
      switch name {
      case "raw_tp": result.insert(.rawTracepoint)
      case "kprobe": result.formUnion([.kprobe, .kretprobe])
      case "polling": result.insert(.polling)
      default: throw ValidationError("--methods \(name): there is raw_tp, kprobe, polling")
      }
    }
    return result
  }

  private func destinations() throws -> [ReportDestination] {
    try ReportDestination.all(of: OrderedValue.words(formats: formats, outputs: outputs))
  }

  private func plan() throws -> KernelPlan {
    let duration = try duration.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    var interval = try interval.map { try TimeValue.parse($0, plainUnit: .seconds(1)) }
    if interval == nil, duration == nil { interval = .seconds(5) }
    var plan = KernelPlan(
      trace: try traceConfiguration(), request: try request(),
      schedule: ReportSchedule(interval: interval, count: count, duration: duration), destinations: try destinations())
    plan.top = top
    plan.isLive = isLive
    plan.printsEvents = printsEvents
    plan.showsBlocks = showsBlocks
    plan.isVerbose = verbose
    plan.display = display.settings
    return plan
  }

  private func traceConfiguration() throws -> KernelTraceConfiguration {
    var configuration = KernelTraceConfiguration()
    configuration.sources = try traced()
    configuration.sizes = (minimumSize?.value ?? 0)...(maximumSize?.value ?? .max)
    configuration.cacheNames = caches
    configuration.callSites = callSites
    configuration.processIDs = processIDs
    configuration.commandName = commandName
    configuration.cgroupDirectory = try cgroup.map {
      try CgroupPath.directory(named: $0, roots: CgroupPath.roots())
    }
    configuration.recordsReclaimable = showsEverything
    configuration.sampleEveryNth = sampleEveryNth
    configuration.isExact = isExact
    configuration.emitsEvents = printsEvents
    configuration.methods = try allowedMethods()
    configuration.stacks = KernelTraceConfiguration.Stacks(rawValue: stacks.rawValue) ?? .suspects
    if let maxAllocations { configuration.maximumAllocations = maxAllocations }
    if let maxSites { configuration.maximumSites = maxSites }
    return configuration
  }

  private func request() throws -> ReportRequest {
    var request = ReportRequest()
    if let minimumAge { request.minimumAge = try TimeValue.parse(minimumAge, plainUnit: .milliseconds(1)) }
    request.listsBlocks = showsBlocks
    request.combinedOnly = combinedOnly
    request.order =
      switch sort {
      case .bytes, .size: .bytes
      case .count: .count
      case .age: .age
      case .growth: .growth
      }
    request.showsEverything = showsEverything
    return request
  }
}
