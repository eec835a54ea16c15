import Quantities
import TraceModel

/// The answer of a report in one line, as values; formats make words of them.
package struct Headline: Sendable {
  /// The command's name and its process id; nil where there are several processes or none.
  package var command: String?
  package var processID: Int32?
  package var answer: Answer
  /// Why it cannot be told, or what the reader has to know beside the answer; for people.
  package var reason: String?
  /// What the processes have taken that no traced call accounts for, in words; nil where there is none.
  package var unexplained: String?
  /// How many threads have ended that nobody has joined, in words; nil where they are few.
  package var unjoined: String?
  /// Whether records are missing that an answer could rest on.
  package var isIncomplete: Bool
  /// What grows, added up; nil where nothing does.
  package var rate: GrowthRate?
  /// What is definitely and indirectly lost.
  package var lost: Tally
  /// Seconds until memory is short at this rate, and what will be short; nil where nothing grows or no limit is known.
  package var forecast: Forecast?
  package var window: Duration
  package var missing: MissingRecords

  package enum Answer: String, Hashable, Sendable, CaseIterable {
    case leaks = "LEAKS"
    case grows = "GROWS"
    case none = "no leak seen"
    case cannotTell = "CANNOT TELL"
  }

  package struct Forecast: Hashable, Sendable {
    package var seconds: Double
    package var limit: String
    package init(seconds: Double, limit: String) {
      self.seconds = seconds
      self.limit = limit
    }
  }

  /// Shorter runs say nothing of growth.
  package static let shortestRun = Duration.seconds(5)

  package init(_ report: Report, _ findings: Findings) {
    let target = report.target
    processID = target.processID
    command = target.command.map(Self.name)
    window = report.window.duration
    missing = findings.missing
    isIncomplete = findings.missing.isSignificant
    rate = findings.growth
    lost = findings.list.reduce(into: Tally()) { if $1.doubt == nil { $0 += $1.lost } }
    if let rate, rate.bytesPerSecond > 0, let limit = report.memoryLimit {
      forecast = Forecast(seconds: Double(limit.leftInBytes) / rate.bytesPerSecond, limit: limit.name)
    }
    unexplained = Self.unexplained(report)
    unjoined = Self.unjoined(report)
    let certain = findings.list.filter { $0.doubt == nil }
    if certain.contains(where: { $0.kind == .definitelyLost }) || lost.count > 0 {
      answer = .leaks
    } else if certain.contains(where: { $0.kind == .growing }) {
      answer = .grows
    } else {
      reason = Self.doubt(report, certain, findings)
      answer = reason == nil ? .none : .cannotTell
    }
  }

  /// What is said of growth that no traced call accounts for; nil where there is none.
  package static func unexplained(_ report: Report) -> String? {
    guard let sum = UnexplainedGrowth.sum(report.unexplained ?? []) else { return nil }
    let kinds = sum.parts.map { part in
      sum.parts.count > 1 ? "\(part.kind.words) \(ByteSize.text(part.bytes))" : part.kind.words
    }
    return "grew by \(ByteSize.text(sum.bytes)), unexplained: \(kinds.joined(separator: ", "))"
  }

  /// Fewer may wait for a thread that joins them in turn.
  private static let leastUnjoined = 10

  /// What is said of threads that have ended and whose stacks are kept for somebody to join them; nil where they are few.
  package static func unjoined(_ report: Report) -> String? {
    let count = (report.threads ?? []).reduce(0) { $0 &+ $1.endedCount }
    return count >= leastUnjoined ? "\(groupedNumber(count)) ended threads are not joined" : nil
  }

  /// Why it cannot be said that nothing leaks; nil when it can be.
  private static func doubt(_ report: Report, _ findings: [Finding], _ all: Findings) -> String? {
    if let unexplained = unexplained(report) { return unexplained }
    if let unjoined = unjoined(report) { return unjoined }
    if all.missing.isSignificant { return "records are missing" }
    let possibly = findings.reduce(into: Tally()) { $0 += $1.verdicts[.possiblyLost] ?? Tally() }
    if possibly.count > 0 { return "blocks are possibly lost" }
    // A check of everything at the end of a program says all there is to say.
    let isChecked =
      !report.leakChecks.isEmpty
      && findings.allSatisfy { finding in
        (finding.verdicts[.unchecked]?.count ?? 0) == 0 && !finding.verdicts.isEmpty
      }
    let hasEnded = report.target.exitStatus != nil
    if isChecked, hasEnded { return grewBeforeEnd(report) }
    if report.window.duration < shortestRun, report.totals.outstanding.count > 0 {
      return "the run is too short to tell growth"
    }
    if findings.contains(where: { $0.kind == .unclear && ($0.rate?.lower ?? 0) > 0 }) {
      return "some of it rises, and too little is known to call it growth"
    }
    // What a check has left out is neither lost nor does it grow.
    let settled = findings.reduce(report.leftOut.bytes) { $0 &+ ($1.kind.group == .bounded ? $1.held.bytes : 0) }
    let whole = report.totals.outstanding.bytes
    // Of half of it at least it has to be known that it is bounded.
    if settled < whole - whole / 2 { return "of most of what is held it is not known whether it grows" }
    return nil
  }

  /// That what the processes held rose from each third of the run to the next, and was freed when they ended: no single stack is
  /// known to grow, but that none does cannot be said either.
  private static func grewBeforeEnd(_ report: Report) -> String? {
    let moments = report.timeline
    let run = report.window.duration
    guard run >= shortestRun, moments.count >= 12, let end = moments.last else { return nil }
    func most(_ third: Int) -> UInt64 {
      let range = run * third / 3..<run * (third + 1) / 3
      return moments.dropLast().reduce(0) { range.contains($1.elapsed) ? max($0, $1.outstanding.bytes) : $0 }
    }
    let levels = [most(0), most(1), most(2)]
    guard levels[0] > 0, levels[0] < levels[1], levels[1] < levels[2] else { return nil }
    let rise = levels[2] - levels[0]
    let isSteady = [levels[1] - levels[0], levels[2] - levels[1]].allSatisfy { $0 >= rise / 8 }
    let isGone = end.outstanding.bytes < levels[2] - rise / 2
    guard rise >= max(64 << 10, levels[0] / 10), isSteady, isGone else { return nil }
    return "it rose from \(ByteSize.text(levels[0])) to \(ByteSize.text(levels[2])), which were freed at its end"
  }

  /// The name of a program from its command line.
  private static func name(_ command: String) -> String {
    let first = command.split(separator: " ", maxSplits: 1).first ?? Substring(command)
    // A name that begins with a slash is a path; anything else is a title that the program gave itself.
    return first.hasPrefix("/") || first.hasPrefix("./")
      ? first.split(separator: "/").last.map(String.init) ?? String(first)
      : String(first)
  }
}
