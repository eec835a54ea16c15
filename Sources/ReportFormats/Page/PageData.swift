import ReportAnalysis
import TextOutput
import TraceModel

/// What a report's page shows, as JSON that its script reads.
enum PageData {
  /// More points of a curve say no more to the eye; a damaged recording can have any number.
  private static let maximumPoints = 512

  /// The data lie in a script element, where no `<` may appear: it is written as an escape.
  static func json(of report: Report, _ findings: PageFindings) -> [UInt8] {
    let roles = findings.roles
    let frames = FrameTable(roles: roles, isOfKernel: report.target.kind == .kernel)
    let stacks = report.sites.map { site in site.shownFrames.map { frames.index(of: $0) } }
    var writer = JSONWriter()
    writer.object { writer in
      writeTotals(report, to: &writer)
      writeChecks(report, to: &writer)
      writeCircumstances(report, to: &writer)
      writer.key("moments")
      writer.array(report.timeline.suffix(maximumPoints)) { writer, moment in
        writer.object {
          $0.member("t", moment.elapsed)
          $0.member("bytes", moment.outstanding.bytes)
          $0.member("count", moment.outstanding.count)
          $0.member("rss", moment.residentBytes)
        }
      }
      findings.write(to: &writer)
      writer.key("strings")
      writer.array(frames.strings) { $0.string($1) }
      writer.key("frames")
      writer.array(frames.rows) { writer, row in writer.array(row) { $0.integer($1) } }
      writer.key("sites")
      writer.array(zip(report.sites, stacks)) { writer, pair in write(pair.0, pair.1, roles, to: &writer) }
    }
    return withoutMarkup(writer.bytes)
  }

  private static func write(_ tally: Tally, to writer: inout JSONWriter) {
    writer.array([tally.bytes, tally.count]) { $0.integer($1) }
  }

  private static func writeTotals(_ report: Report, to writer: inout JSONWriter) {
    writer.key("totals")
    writer.object {
      write(report.totals, to: &$0)
      $0.member("unmatched_frees", report.totals.unmatchedFrees)
      $0.member("standard_error", report.totals.outstandingBytesStandardError)
    }
    writer.member("is_sampled", report.sampling != nil)
    writer.member("duration", report.window.duration)
    writer.key("commands")
    writer.array(commands(report)) { writer, entry in
      writer.object {
        $0.member("pid", entry.processID)
        $0.member("command", singleLine(entry.command))
      }
    }
    writer.key("left_out")
    writer.object {
      $0.member("sites", report.leftOutSites)
      $0.member("bytes", report.leftOut.bytes)
    }
    writer.key("processes")
    writer.array(report.processes) { writer, process in
      writer.object {
        $0.member("pid", process.processID)
        $0.member("command", singleLine(process.command))
        $0.member("state", process.state.rawValue)
        write(process.totals, to: &$0)
      }
    }
  }

  /// The processes that traced programs had, or on whose behalf the kernel allocated.
  private static func commands(_ report: Report) -> [(processID: Int32, command: String)] {
    let shares = (report.kernelMemory?.processes ?? []) + report.sites.flatMap { $0.kernel?.processes ?? [] }
    var known: Set<Int32> = []
    return
      (report.processes.map { ($0.processID, $0.command) }
      + shares.compactMap { share in share.command.map { (share.processID, $0) } })
      .filter { known.insert($0.0).inserted }
  }

  private static func write(_ totals: Report.Totals, to writer: inout JSONWriter) {
    for (name, tally) in [("o", totals.outstanding), ("a", totals.allocated), ("f", totals.freed)] {
      writer.key(name)
      write(tally, to: &writer)
    }
  }

  private static func writeChecks(_ report: Report, to writer: inout JSONWriter) {
    writer.key("kinds")
    writer.object { writer in
      for kind in VerdictKind.allCases where !report.leakChecks.isEmpty {
        var sum = Tally()
        for check in report.leakChecks { sum += check.kinds[kind] ?? Tally() }
        if kind == .unchecked, sum.count == 0 { continue }
        writer.key(kind.rawValue)
        write(sum, to: &writer)
      }
    }
    writer.key("checks")
    writer.array(report.leakChecks) { writer, check in
      writer.object {
        $0.member("pid", check.processID)
        $0.member("paused", check.paused)
        $0.member("took", check.took)
        $0.member("scanned", check.scannedBytes)
        $0.member("method", check.method.rawValue)
        $0.key("suppressed")
        write(check.suppressed, to: &$0)
      }
    }
  }

  /// How the report was taken, and what it lacks.
  private static func writeCircumstances(_ report: Report, to writer: inout JSONWriter) {
    writer.key("loss")
    writer.array(report.loss) { writer, counter in
      writer.object {
        $0.member("name", singleLine(counter.name))
        $0.member("description", singleLine(counter.description))
        $0.member("value", counter.value)
      }
    }
    writer.key("probes")
    writer.array(report.probes) { writer, probe in
      writer.object {
        $0.member("function", singleLine(probe.function))
        $0.member("object", singleLine(probe.object))
        $0.member("emulated", probe.isEmulated)
        $0.member("kind", probe.kind.rawValue)
        $0.member("hits", probe.hits)
      }
    }
    writer.key("retention")
    writer.array(report.retention) { writer, summary in
      writer.object {
        $0.member("pid", summary.processID)
        $0.member("finding", summary.finding.map { singleLine($0) })
      }
    }
    writer.key("notes")
    let notes =
      (report.kernelMemory?.findings ?? []) + report.notes + report.leakChecks.flatMap(\.notes)
      + (report.missingSymbols ?? []).map(\.sentence)
    writer.array(notes) { $0.string(singleLine($1)) }
  }

  // MARK: Sites

  private static func write(
    _ site: AllocationSite, _ stack: [Int], _ roles: FrameRoles, to writer: inout JSONWriter
  ) {
    writer.object { writer in
      for (name, tally) in [("o", site.outstanding), ("a", site.allocated), ("f", site.freed)] {
        writer.key(name)
        write(tally, to: &writer)
      }
      writer.member("p", site.processID)
      if let thread = site.threadID {
        writer.member("thread", "\(thread)" + (site.threadName.map { " (\(singleLine($0)))" } ?? ""))
      }
      writer.member("by", singleLine(site.allocator))
      writer.member("class", site.allocationClass.rawValue)
      writer.member("age", site.oldestAge)
      writer.member("end", site.stack.completeness.rawValue)
      if let error = site.outstandingBytesStandardError { writer.member("error", error) }
      writeVerdicts(of: site, to: &writer)
      writeGrowth(of: site, to: &writer)
      if let cache = site.kernel?.cache { writer.member("cache", singleLine(cache)) }
      writer.member("own", OwnFrame.index(in: site, roles: roles) ?? -1)
      writer.key("s")
      writer.array(stack) { $0.integer($1) }
    }
  }

  private static func writeVerdicts(of site: AllocationSite, to writer: inout JSONWriter) {
    if !site.isUnchecked {
      writer.key("v")
      writer.object { writer in
        for kind in VerdictKind.allCases {
          guard let tally = site.verdicts[kind], tally.count > 0 else { continue }
          writer.key(kind.rawValue)
          write(tally, to: &writer)
        }
      }
    }
    if site.keeps.count > 0 {
      writer.key("keeps")
      write(site.keeps, to: &writer)
    }
    let holders = holders(of: site)
    if !holders.isEmpty {
      writer.key("h")
      writer.array(holders) { writer, holder in
        writer.array([0, 1, 2, 3]) { writer, column in
          switch column {
          case 0: writer.string(singleLine(holder.words))
          case 1: writer.integer(holder.held.bytes)
          case 2: writer.integer(holder.held.count)
          default: writer.number(holder.share)
          }
        }
      }
    }
    if let places = site.freedAt, !places.isEmpty {
      writer.key("freed")
      writer.array(places) { writer, place in
        writer.array([0, 1]) { writer, column in
          if column == 0 { writer.number(place.share) } else { writer.string(singleLine(words(of: place.frames))) }
        }
      }
    }
  }

  /// Who holds the site's reachable blocks, in words; heaps of interpreters where nothing more is known.
  private static func holders(of site: AllocationSite) -> [(words: String, held: Tally, share: Double)] {
    if let holders = site.heldBy {
      return holders.map { ($0.words + ($0.path.map { ", " + $0 } ?? ""), $0.held, $0.share) }
    }
    return site.holders.sorted { ($0.value.bytes, $1.key) > ($1.value.bytes, $0.key) }.map { ($0.key, $0.value, 0) }
  }

  /// The innermost function of a stack that has a place in the source, or else the innermost.
  private static func words(of frames: [Frame]) -> String {
    guard let frame = frames.first(where: { $0.file != nil }) ?? frames.first else { return "an unknown function" }
    let file = frame.file?.split(separator: "/").last.map(String.init)
    return frame.plainName + (file.map { " " + $0 + (frame.line.map { ":\($0)" } ?? "") } ?? "")
  }

  private static func writeGrowth(of site: AllocationSite, to writer: inout JSONWriter) {
    if let growth = site.growth {
      writer.key("g")
      writer.object {
        $0.member("word", growth.word.rawValue)
        $0.member("slope", growth.slopeInBytesPerSecond)
        $0.member("low", growth.lowerSlope)
        $0.member("high", growth.upperSlope)
        $0.member("windows", growth.windows)
        $0.member("generations", growth.generationsAlive)
      }
    }
    guard let course = site.course else { return }
    let points = zip(course.seconds, course.bytes).filter { $0.0.isFinite }.suffix(maximumPoints)
    guard !points.isEmpty else { return }
    writer.key("c")
    writer.array([0, 1]) { writer, column in
      writer.array(points) { writer, point in
        if column == 0 { writer.number(point.0) } else { writer.integer(point.1) }
      }
    }
  }
}

/// Frames and strings, each once.
private final class FrameTable {
  private lazy var ids = FrameCache { [unowned self] in add($0) }
  private let roles: FrameRoles
  private let isOfKernel: Bool

  init(roles: FrameRoles, isOfKernel: Bool) {
    self.roles = roles
    self.isOfKernel = isOfKernel
  }

  func index(of frame: Frame) -> Int { ids[frame] }

  private var stringIDs: [String: Int] = [:]
  private(set) var rows: [[Int]] = []
  private(set) var strings: [String] = []

  /// Name with offset, module, file (indices of strings, −1: none), line, whether inlined, reason, name, whether it is code
  /// of the program rather than of an allocator or a runtime.
  private func add(_ frame: Frame) -> Int {
    let name = frame.functionOffset.map { frame.plainName + "+" + hexadecimal($0) } ?? frame.plainName
    rows.append([
      string(name), string(frame.module), string(frame.file), max(0, frame.line ?? 0), frame.isInlined ? 1 : 0,
      string(frame.unresolved?.rawValue), string(frame.plainName),
      roles.role(of: frame, isKernel: isOfKernel).isFolded ? 0 : 1,
    ])
    return rows.count - 1
  }

  private func string(_ text: String?) -> Int {
    guard let text else { return -1 }
    if let known = stringIDs[text] { return known }
    stringIDs[text] = strings.count
    strings.append(singleLine(text))
    return strings.count - 1
  }
}
