import Accounting
import AllocationTracing
import LeakAnalysis
import TextOutput
import TraceModel

/// What one `leaktrace trace` is to do.
package struct TracePlan {
  package var subject: Subject
  package var trace: TraceConfiguration
  package var discovery: AllocatorDiscovery.Options
  package var request: ReportRequest
  package var schedule: ReportSchedule
  package var destinations: [ReportDestination]
  /// How many sites a report shows; nil: the usual number for its format.
  package var top: Int?
  /// A shell command that is given each report.
  package var onReport: String?
  /// Whether a live view is to be shown if leaktrace runs on a terminal.
  package var isLive = false
  package var printsEvents = false
  package var showsBlocks = false
  package var isVerbose = false
  package var fullNames = false
  package var display = DisplaySettings()
  /// nil if no leak check was asked for.
  package var leakCheck: LeakCheckPlan?

  /// What is traced.
  package enum Subject {
    case running(TargetSelection)
    /// A program that leaktrace starts, with its arguments.
    case command([String])

    /// As options of `leaktrace trace`, quoted for a shell.
    package var options: String {
      switch self {
      case .running(let selection): selection.options
      case .command(let arguments): "-- " + arguments.map(shellQuoted).joined(separator: " ")
      }
    }
  }

  package init(
    subject: Subject, trace: TraceConfiguration, discovery: AllocatorDiscovery.Options, request: ReportRequest,
    schedule: ReportSchedule, destinations: [ReportDestination]
  ) {
    self.subject = subject
    self.trace = trace
    self.discovery = discovery
    self.request = request
    self.schedule = schedule
    self.destinations = destinations
  }
}

/// What the leak checks of a trace are to do.
package struct LeakCheckPlan {
  package var settings: LeakCheckSettings
  /// Whether reports show only the totals of the leak check and no sites.
  package var isSummary = false
  /// The kinds of leak that make the exit code 1. Empty if leaks do not count as an error.
  package var failingKinds: Set<VerdictKind> = []
  /// Whether stacks that grow make it 1, too, although their blocks are reachable.
  package var failsOnGrowing = false
  /// Whether leaks decide over the exit code.
  package var failsOnLeaks: Bool { !failingKinds.isEmpty || failsOnGrowing }
  /// Addresses of blocks for which the report explains how they are reached.
  package var explainedAddresses: [UInt64] = []
  /// Stacks of which the report says all holders: their numbers, or functions on them.
  package var explainedStacks: [String] = []
  /// How many bytes of each block are shown.
  package var dumpBytes = 0
  /// Makes the suppression that is printed for a site; nil: none are printed.
  package var suppressionEntry: (@Sendable (AllocationSite) -> String)?

  package init(settings: LeakCheckSettings) { self.settings = settings }
}
