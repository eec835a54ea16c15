import Accounting
import AllocationTracing
import LeakAnalysis
import TraceModel

/// What one `leaktrace trace` is to do.
package struct TracePlan {
  package var subject: Subject
  package var trace: TraceConfiguration
  package var discovery: AllocatorDiscovery.Options
  package var request: ReportRequest
  package var schedule: ReportSchedule
  package var destinations: [ReportDestination]
  /// How many sites a report shows; nil: as many as suit its form.
  package var top: Int?
  /// Shell command that gets each report.
  package var onReport: String?
  /// Whether a terminal is to show a live screen.
  package var isLive = false
  package var printsEvents = false
  package var showsBlocks = false
  package var isVerbose = false
  package var fullNames = false
  /// nil when no leak check was asked for.
  package var leakCheck: LeakCheckPlan?

  /// What is traced.
  package enum Subject {
    case running(TargetSelection)
    /// A program that leaktrace starts, and its arguments.
    case command([String])
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
  /// Whether reports leave out the sites.
  package var isSummary = false
  /// Kinds that make the exit code 1; empty when leaks are no error.
  package var failingKinds: Set<VerdictKind> = []
  /// Addresses of blocks whose reachability is to be explained.
  package var explainedAddresses: [UInt64] = []
  /// How many bytes of each block are shown.
  package var dumpBytes = 0
  /// The suppression to print for a site; nil: none.
  package var suppressionEntry: (@Sendable (AllocationSite) -> String)?

  package init(settings: LeakCheckSettings) { self.settings = settings }
}
