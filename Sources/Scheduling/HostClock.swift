import Glibc
import SystemSupport

/// The times of the host, and waiting for them: what a test replaces by times of its own.
package protocol HostClock: AnyObject {
  typealias Instant = ContinuousClock.Instant
  var now: Instant { get }
  /// Seconds since 1970.
  var unixSeconds: Double { get }
  /// Seconds of CLOCK_MONOTONIC.
  var monotonicSeconds: Double { get }
  /// CPU seconds of this process so far.
  var processSeconds: Double { get }
  /// Blocks until one of the descriptors is ready, which then says so, or the moment has come; without one as long as it
  /// takes.
  func wait(for descriptors: inout [pollfd], until moment: Instant?)
}

/// The clocks of the kernel.
package final class SystemClock: HostClock {
  package init() {}

  package var now: Instant { .now }
  package var unixSeconds: Double { SystemSupport.unixSeconds() }
  package var monotonicSeconds: Double { SystemSupport.monotonicSeconds() }
  package var processSeconds: Double { SystemSupport.processSeconds() }

  package func wait(for descriptors: inout [pollfd], until moment: Instant?) {
    guard let moment else {
      poll(&descriptors, nfds_t(descriptors.count), -1)
      return
    }
    // Rounded up: a wait that ends before its moment would be one turn for nothing.
    let left = max(.zero, moment - .now) / .milliseconds(1)
    poll(&descriptors, nfds_t(descriptors.count), Int32(min(left.rounded(.up), 3.6e6)))
  }
}
