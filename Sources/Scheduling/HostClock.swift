import Glibc
import SystemSupport

/// The times of the host, and a way to wait for them. Tests replace it by a clock of their own.
package protocol HostClock: AnyObject {
  typealias Instant = ContinuousClock.Instant
  var now: Instant { get }
  /// The time of day, in seconds since 1970.
  var unixSeconds: Double { get }
  /// The time of CLOCK_MONOTONIC, in seconds.
  var monotonicSeconds: Double { get }
  /// The CPU time that this process has used so far, in seconds.
  var processSeconds: Double { get }
  /// Blocks until one of the descriptors is ready, which is then noted in it, or until the moment has come. Without a
  /// moment it waits as long as it takes.
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
    // Rounded up to whole milliseconds: a wait that ended before its moment would make the loop take a turn for
    // nothing.
    let left = max(.zero, moment - .now) / .milliseconds(1)
    poll(&descriptors, nfds_t(descriptors.count), Int32(min(left.rounded(.up), 3.6e6)))
  }
}
