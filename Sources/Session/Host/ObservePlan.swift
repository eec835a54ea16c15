import HostObservation

/// What one `leaktrace observe` is to do.
package struct ObservePlan {
  package var duration: Duration
  package var interval: Duration
  /// A history to judge in place of this host as it is now, and the time from which on (seconds since 1970).
  package var history: (path: String, since: Double)?
  package var format: ObservationFormat
  /// The path of the output file; nil: standard output.
  package var output: String?
  /// How many series are shown; nil: the usual number for the format.
  package var top: Int?
  package var failsOnGrowth = false

  package init(duration: Duration, interval: Duration, format: ObservationFormat) {
    self.duration = duration
    self.interval = interval
    self.format = format
  }
}
