import Glibc
import Synchronization

/// Whether leaktrace has been told to end, so that what takes long while a loop of events stands still is cut short.
///
/// Signals that end leaktrace are blocked and taken by its loop: one that waits has come while something else was under way.
package enum Interruption {
  private static let moment = Atomic<UInt64>(.max)

  /// Lets what is under way go on for so many seconds and no longer.
  package static func raise(afterSeconds seconds: Double) {
    moment.store(monotonicNanoseconds() &+ UInt64(seconds * 1e9), ordering: .relaxed)
  }

  /// Asks the kernel each time, which takes less than a microsecond.
  package static var isRaised: Bool {
    isWaiting([SIGINT, SIGTERM]) || monotonicNanoseconds() >= moment.load(ordering: .relaxed)
  }

  /// Whether one of some blocked signals waits for a loop to take it.
  package static func isWaiting(_ signals: [Int32]) -> Bool {
    var waiting = sigset_t()
    sigpending(&waiting)
    return signals.contains { sigismember(&waiting, $0) == 1 }
  }
}
