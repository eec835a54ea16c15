import BPFRuntime
import CTraceABI
import SystemSupport

/// Takes the programs' events from their ring buffer, and sees to it that processes that wait for us wait shortly.
final class EventPump {
  private let tables: TraceTables
  private let ring: RingBuffer
  private var attachPriority = AttachPriority()
  private var lastRefill: UInt64 = 0
  /// When events were last handled (CLOCK_MONOTONIC nanoseconds).
  private(set) var lastRun: UInt64 = 0

  /// How many nanoseconds events may wait while something else takes long.
  private static let longestPause: UInt64 = 10_000_000
  /// What processes may be held for in a burst, in nanoseconds.
  private static let holdLimit: Int64 = 10_000_000_000

  init(object: BPFObject, tables: TraceTables) throws(BPFError) {
    self.tables = tables
    ring = try RingBuffer(map: object.map("events"))
    tables.refillHoldBudget(by: Self.holdLimit, upTo: Self.holdLimit)
  }

  var pollDescriptor: Int32 { ring.pollDescriptor }

  /// Whether events have waited for so long that they are to be handled first.
  var isOverdue: Bool { monotonicNanoseconds() &- lastRun > Self.longestPause }

  /// Gives every waiting event to `handle`, in the order in which they happened.
  func drain(_ handle: (TraceEvent) -> Void) {
    refillHoldBudget()
    ring.consume { record in
      guard record.count >= MemoryLayout<lt_event>.size else { return }
      if let event = TraceEvent(record.loadUnaligned(as: lt_event.self)) { handle(event) }
    }
  }

  /// A process waits for what is done now: this thread goes before others until the end of the run.
  func hurry() { attachPriority.raise() }

  /// Nobody waits any more.
  func relax() { attachPriority.restore() }

  func noteRun() { lastRun = monotonicNanoseconds() }

  /// Processes are held for a tenth of the time at most, with 10 s in hand for a burst of forks; whoever comes when that
  /// is used up runs on and is counted as late.
  private func refillHoldBudget() {
    let now = monotonicNanoseconds()
    let elapsed = lastRefill == 0 ? 10 * Self.holdLimit : Int64(clamping: now - lastRefill)
    lastRefill = now
    tables.refillHoldBudget(by: elapsed / 10, upTo: Self.holdLimit)
  }
}
