import Accounting
import KernelTracing
import TraceModel

/// What one `leaktrace kernel` is to do.
package struct KernelPlan {
  package var trace: KernelTraceConfiguration
  package var request: ReportRequest
  package var schedule: ReportSchedule
  package var destinations: [ReportDestination]
  /// How many sites a report shows; nil: as many as suit its form.
  package var top: Int?
  /// Whether a terminal is to show a live screen.
  package var isLive = false
  package var printsEvents = false
  package var showsBlocks = false
  package var isVerbose = false

  package init(
    trace: KernelTraceConfiguration, request: ReportRequest, schedule: ReportSchedule,
    destinations: [ReportDestination]
  ) {
    self.trace = trace
    self.request = request
    self.schedule = schedule
    self.destinations = destinations
  }
}
