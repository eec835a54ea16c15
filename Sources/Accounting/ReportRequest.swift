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
  /// At most this many sites of those that are selected, because nobody needs the names of more; nil: all that there are,
  /// for reports that are kept.
  package var limit: Int?
  /// Which sites come first, and which ones alone if there is a limit.
  package var selection = ReportSelection.all
  /// Include the stacks of whose blocks none is left: for recordings, of which comparisons want to know what ran.
  package var includesFreed = false

  // MARK: Of programs

  /// Name every file whose call-frame information the walker cannot use in full (`-v`).
  package var explainsStacks = false
  /// Include processes that have ended although other targets still run.
  package var includesEnded = false
  /// Rules for leaks that are known already. They apply only to kinds that count as lost or are selected, and to stacks that
  /// grow.
  package var suppressions = Suppressions()

  // MARK: Of the kernel

  /// Show also what is otherwise left out: caches that the kernel can reclaim, and pages that others account for.
  package var showsEverything = false

  package enum Order: String, CaseIterable, Sendable {
    case bytes, count, age, growth
  }

  package init() {}
}
