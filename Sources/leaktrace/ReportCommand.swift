import AllocationTracing
import ArgumentParser
import ReportAnalysis
import ReportFormats
import Session
import Symbolization
import SystemSupport
import TextOutput
import TraceModel

/// `leaktrace report`: shows recordings again, in any format.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Renders recordings in any format, filtered and grouped; several are added up.",
    discussion: """
      Reads what `trace` or `kernel` wrote with --output FILE.pb.gz or FILE.json, and heap profiles of others (pprof as Go writes it, \
      gperftools' text), or with --history what `watch` has kept. --focus, --ignore, --hide and --show-from take regular expressions on functions, modules and \
      files, and mean what they mean in pprof.
      """)

  @Argument(help: "Recordings.")
  var files: [String] = []

  @OptionGroup(title: "History") var history: HistoryOptions

  @OptionGroup var rendering: RenderingOptions

  mutating func validate() throws {
    try history.check()
    if files.isEmpty, history.path == nil { throw ValidationError("name at least one recording, or a --history") }
    if !files.isEmpty, history.path != nil { throw ValidationError("render recordings or a --history, not both") }
    try rendering.check()
  }

  mutating func run() throws {
    var reports: [Report] = []
    for file in files { reports.append(try Recording.read(file)) }
    if history.path != nil { reports = try history.reports() }
    guard let merged = ReportMerge.merge(reports) else { return }
    let filter = try rendering.filter()
    if rendering.grouping?.subject == .thread, !merged.sites.isEmpty,
      !merged.sites.contains(where: { $0.threadID != nil })
    {
      throw Refusal("--by thread: threads were not told apart in this recording (trace --threads)")
    }
    var report = filter.apply(to: reports.count == 1 ? reports[0] : merged)
    if let grouping = rendering.grouping { report = grouping.apply(to: report) }
    for destination in try rendering.destinations() {
      try destination.open()
      var options = ReportOptions()
      options.text.top = rendering.top ?? 10
      options.text.showAllocations = rendering.showsBlocks
      options.text.fullNames = rendering.fullNames
      options.text.shortenFunctionName = FunctionNameShortener().shorten
      rendering.display.settings.apply(to: &options.text, isStandardOutput: destination.path == nil)
      options.text.recording = files.isEmpty ? nil : files.map { shellQuoted($0) }.joined(separator: " ")
      destination.pager = rendering.paging.pager
      try destination.write(report.limited(to: destination.format.sites(top: rendering.top)), options: options)
    }
  }
}

/// The options for what `report` does to a recording before it writes it.
struct RenderingOptions: ParsableArguments {
  @Option(help: "Only call stacks with a frame that matches this regular expression.")
  var focus: String?

  @Option(help: "Not call stacks with a frame that matches.")
  var ignore: String?

  @Option(help: "Leave out frames that match.")
  var hide: String?

  @Option(help: "Leave out the callers of the outermost frame that matches.")
  var showFrom: String?

  @Option(name: .customLong("kind"), help: "Only blocks of these kinds: definite, indirect, possible, reachable.")
  var kinds: String?

  @Option(
    name: .customLong("by"),
    help: "Add up by function, module or line (the first that is yours), process, cgroup or thread (with --threads).")
  var groupingName: String?

  @Option(name: .customLong("by-exact"), help: "The same by the innermost frame, be it an allocator's.")
  var exactGroupingName: String?

  @Option(name: [.customShort("T"), .customLong("top")], help: "The N largest only (text: 10).")
  var top: Int?

  @Flag(name: [.customShort("a"), .customLong("show-allocs")], help: "List single blocks, if they were recorded.")
  var showsBlocks = false

  @Flag(help: "Do not shorten long template names in text.")
  var fullNames = false

  @OptionGroup var display: DisplayOptions

  @OptionGroup var paging: PagerOptions

  @Option(
    name: .customLong("format"),
    help: ArgumentHelp("\(ReportFormats.all.names). \(OutputPairing.rule)", valueName: "format"))
  var formats: [OrderedValue] = []

  @Option(
    name: .customLong("output"),
    help: ArgumentHelp("Write to this file instead of standard output. Several allowed.", valueName: "output"))
  var outputs: [OrderedValue] = []

  func destinations() throws -> [ReportDestination] {
    try ReportDestination.all(of: OrderedValue.words(formats: formats, outputs: outputs))
  }

  var grouping: ReportGrouping? {
    guard let name = exactGroupingName ?? groupingName, let subject = ReportGrouping.Subject(rawValue: name) else {
      return nil
    }
    return ReportGrouping(subject, isExact: exactGroupingName != nil)
  }

  func check() throws {
    if groupingName != nil, exactGroupingName != nil {
      throw ValidationError("add up by --by or by --by-exact, not both")
    }
    if let name = exactGroupingName ?? groupingName, grouping == nil {
      let names = ReportGrouping.Subject.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("\(exactGroupingName == nil ? "--by" : "--by-exact") \(name): there is \(names)")
    }
    if let top, top <= 0 { throw ValidationError("-T \(top): show at least 1 stack") }
    _ = try filter()
    _ = try destinations()
  }

  func filter() throws -> ReportFilter {
    var filter = ReportFilter()
    filter.focus = try pattern("--focus", focus)
    filter.ignore = try pattern("--ignore", ignore)
    filter.hide = try pattern("--hide", hide)
    filter.showFrom = try pattern("--show-from", showFrom)
    for word in (kinds ?? "").split(separator: ",") {
      guard let kind = VerdictKind(optionName: word) else {
        let names = VerdictKind.allCases.map(\.optionName).joined(separator: ", ")
        throw ValidationError("--kind \(word): there is \(names)")
      }
      filter.kinds.insert(kind)
    }
    return filter
  }

  private func pattern(_ option: String, _ text: String?) throws -> NamePattern? {
    guard let text else { return nil }
    do { return try NamePattern(text) } catch {
      throw ValidationError("\(option) \(text): this is no regular expression")
    }
  }
}
