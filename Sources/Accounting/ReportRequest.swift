import LeakAnalysis
import TraceModel

/// What a report is to contain, of a program's memory or of the kernel's.
package struct ReportRequest: Sendable {
  /// Leave out blocks younger than this (`-o`).
  package var minimumAge: Duration = .zero
  /// List every outstanding block (`-a`).
  package var listsBlocks = false
  /// Only the totals kept per stack: no ages, no pass over the blocks (`--combined-only`).
  package var combinedOnly = false
  package var order = Order.bytes
  /// At most this many sites; nil: all.
  package var limit: Int?

  // MARK: Of programs

  /// Name every file whose call-frame information the walker cannot use in full (`-v`).
  package var explainsStacks = false
  /// Include processes that have ended although other targets still run.
  package var includesEnded = false
  /// Of processes that were checked for leaks, show only sites that have blocks of these kinds; nil: all.
  package var shownKinds: Set<VerdictKind>?
  /// No sites at all, only the sums.
  package var summaryOnly = false
  /// Rules for leaks that are known already. They apply only to kinds that count as lost or are shown.
  package var suppressions = Suppressions()

  // MARK: Of the kernel

  /// Show also what is otherwise left out: caches that the kernel can reclaim, and pages that others account for.
  package var showsEverything = false

  package enum Order: String, CaseIterable, Sendable {
    case bytes, count, age, growth
  }

  package init() {}
}
