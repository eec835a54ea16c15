import Accounting
import KernelTracing
import TraceModel

/// What one `leaktrace kernel` is to do.
package struct KernelPlan {
  package var trace: KernelTraceConfiguration
  package var request: ReportRequest
  package var schedule: ReportSchedule
  package var destinations: [ReportDestination]
  /// How many sites a report shows; nil: the usual number for its format.
  package var top: Int?
  /// Whether a live view is to be shown if leaktrace runs on a terminal.
  package var isLive = false
  package var printsEvents = false
  package var showsBlocks = false
  package var isVerbose = false
  package var display = DisplaySettings()

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
