import Glibc
import Scheduling

/// A clock that stands still but for waits, which take no time: descriptors that are ready end them at once, and else it is
/// the moment that was waited for.
package final class FakeClock: HostClock {
  package private(set) var now: Instant
  package var processSeconds = 0.0
  private let start: Instant
  /// Seconds since the clock was made, to the microsecond.
  package var elapsed: Double { ((now - start) / .microseconds(1)).rounded() / 1e6 }
  package var unixSeconds: Double { 1_700_000_000 + elapsed }
  package var monotonicSeconds: Double { 1_000 + elapsed }
  /// Each wait's length in seconds; nil where it was for a descriptor.
  package private(set) var waits: [Double?] = []

  package init() {
    start = .now
    now = start
  }

  package func advance(by duration: Duration) { now += duration }

  package func wait(for descriptors: inout [pollfd], until moment: Instant?) {
    precondition(waits.count < 100_000, "a loop that does not end")
    if poll(&descriptors, nfds_t(descriptors.count), 0) > 0 {
      waits.append(nil)
      return
    }
    guard let moment else { preconditionFailure("a wait that would never end") }
    let left = max(.zero, moment - now)
    waits.append(left / .seconds(1))
    advance(by: left)
  }
}
