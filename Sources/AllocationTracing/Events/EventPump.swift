import BPFRuntime
import CTraceABI
import ProcessControl
import SystemSupport

/// Takes the programs' events from their ring buffer, and keeps short the time for which processes wait for us.
final class EventPump {
  private let tables: TraceTables
  private let ring: RingBuffer
  private var attachPriority = RealTimePriority(.worker)
  private var lastRefill: UInt64 = 0
  /// When events were last handled (CLOCK_MONOTONIC nanoseconds).
  private(set) var lastRun: UInt64 = 0

  /// How many nanoseconds events may wait while something else takes long.
  private static let longestPause: UInt64 = 10_000_000
  /// The most time in hand for holding processes in a burst, in nanoseconds.
  private static let holdLimit: Int64 = 2_000_000_000

  init(object: BPFObject, tables: TraceTables) throws(BPFError) {
    self.tables = tables
    ring = try RingBuffer(map: object.map("events"))
    tables.refillHoldBudgets(by: Self.holdLimit, upTo: Self.holdLimit)
  }

  var pollDescriptor: Int32 { ring.pollDescriptor }

  /// Whether events have waited for so long that they should be handled before anything else.
  var isOverdue: Bool { monotonicNanoseconds() &- lastRun > Self.longestPause }

  /// Gives every waiting event to `handle`, in the order in which they happened.
  func drain(_ handle: (TraceEvent) -> Void) {
    refillHoldBudgets()
    ring.consume { record in
      guard record.count >= MemoryLayout<lt_event>.size else { return }
      if let event = TraceEvent(record.loadUnaligned(as: lt_event.self)) { handle(event) }
    }
  }

  /// Gives this thread priority over others until ``relax()``, because a process waits for what it does now.
  func hurry() { attachPriority.raise() }

  /// Ends the priority, because no process waits any more.
  func relax() { attachPriority.restore() }

  func noteRun() { lastRun = monotonicNanoseconds() }

  /// Adds to the budgets for holding targets and children: a tenth of the time that has passed, up to 2 s, which serve a burst
  /// of forks. A child that comes when the budget is used up is not held and is counted as late.
  private func refillHoldBudgets() {
    let now = monotonicNanoseconds()
    let elapsed = lastRefill == 0 ? 10 * Self.holdLimit : Int64(clamping: now - lastRefill)
    lastRefill = now
    tables.refillHoldBudgets(by: elapsed / 10, upTo: Self.holdLimit)
  }
}
