import Scheduling

/// At which times a trace makes reports.
package struct ReportSchedule: Hashable, Sendable {
  /// The time between reports; nil: only one report, at the end.
  package var interval: Duration?
  package var count: Int?
  package var duration: Duration?

  package init(interval: Duration?, count: Int?, duration: Duration?) {
    self.interval = interval
    self.count = count
    self.duration = duration
  }

  /// Adds steps to a loop that make the reports of this schedule. The schedule begins now.
  ///
  /// - Parameters:
  ///   - report: makes a report.
  ///   - finish: makes the last report and ends the loop.
  package func start(
    on loop: EventLoop, report: @escaping () throws -> Void, finish: @escaping () throws -> Void
  ) {
    let start = loop.clock.now
    if let duration {
      loop.onTimer(due: start + duration) { _ in
        try finish()
        return nil
      }
    }
    guard let interval else { return }
    var reports = 0
    loop.onTimer(due: start + interval) { [unowned loop] due in
      reports += 1
      if reports == count {
        try finish()
        return nil
      }
      try report()
      return EventLoop.next(after: due, by: interval, now: loop.clock.now)
    }
  }
}
