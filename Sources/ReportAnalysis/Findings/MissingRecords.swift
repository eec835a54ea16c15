import TraceModel

/// What a report does not contain although it happened, and which words cannot rest on the rest.
package struct MissingRecords: Hashable, Sendable {
  /// Causes that count calls or blocks, those that are not 0, as the report has them.
  package private(set) var causes: [Report.LossCounter] = []
  /// Blocks and calls that are missing.
  package private(set) var blocks: UInt64 = 0
  /// Bytes of missing blocks, where they were counted.
  package private(set) var bytes: UInt64 = 0
  /// Whether so much is missing that an answer could be another: a table was full, or more than a thousandth of the calls.
  package private(set) var isSignificant = false
  /// Whether frees may be missing, too: then what seems to grow need not.
  package private(set) var missesFrees = false

  /// Tables that were full: whatever came after that is missing.
  private static let fullTables: Set<String> = ["blocks_refused", "sites_refused", "stacks_refused", "events_lost"]
  /// Calls that were not seen to their end.
  private static let missedCalls: Set<String> = [
    "missed_frees", "thread_state_refused", "scratch_busy", "abandoned_calls", "unsafe_calls", "unreadable_results",
    "late_forks", "late_loads", "recursion_misses", "bulk_cut", "bulk_calls_refused",
  ]
  private static let missedFrees: Set<String> = ["missed_frees", "events_lost", "recursion_misses", "bulk_cut"]
  /// The part of all calls above which what is missing matters.
  private static let share = 0.001

  package init(_ report: Report) {
    let calls = Double(report.totals.allocated.count) + Double(report.totals.freed.count)
    var missedCalls: UInt64 = 0
    var missedFrees: UInt64 = 0
    for counter in report.loss where counter.value > 0 {
      if counter.name == "bytes_refused" {
        bytes &+= counter.value
        continue
      }
      // In the kernel such frees are found, and each site has its own doubt: nothing is missing elsewhere.
      if counter.name == "missed_frees", report.target.kind == .kernel { continue }
      // What a trace of the kernel prints of events is not what it counts.
      let isFull =
        Self.fullTables.contains(counter.name) && !(report.target.kind == .kernel && counter.name == "events_lost")
      guard isFull || Self.missedCalls.contains(counter.name) else { continue }
      causes.append(counter)
      blocks = blocks.addingReportingOverflow(counter.value).overflow ? .max : blocks + counter.value
      if isFull { isSignificant = true } else { missedCalls &+= counter.value }
      if Self.missedFrees.contains(counter.name) { missedFrees &+= counter.value }
    }
    if Double(missedCalls) > Self.share * calls { isSignificant = true }
    missesFrees = missedFrees > 0 && Double(missedFrees) > Self.share * calls
  }

  /// The word that what is recorded still bears.
  package func supported(_ word: GrowthEvidence.Word) -> GrowthEvidence.Word {
    guard isSignificant else { return word }
    switch word {
    // What is missing might have gone on growing.
    case .plateau, .startup: return .unclear
    case .growing: return missesFrees ? .unclear : .growing
    case .unclear: return .unclear
    }
  }
}
