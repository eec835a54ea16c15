import Glibc

/// How many seconds a test waits for what must come: longer than anything takes on a busy host. What needs more hangs.
package let patience = 120.0

/// Waits until a condition holds, looking at it every 5 ms, and returns whether it came to hold.
///
/// A test that waits for what it is about does not depend on how busy the host is; one that sleeps does. The limit only ends
/// a wait that is in vain, so it may be far longer than the condition takes on the busiest host.
///
/// - Parameter seconds: how long to wait at most.
package func eventually(
  within seconds: Double = patience, _ condition: () throws -> Bool
) rethrows -> Bool {
  let end = ContinuousClock.now + .seconds(seconds)
  while true {
    if try condition() { return true }
    if ContinuousClock.now >= end { return false }
    pause(milliseconds: 5)
  }
}

/// Lets a time pass that the test itself is about: an age, a moment at which something is killed, a window. Not for waiting
/// until something has happened; that is ``eventually(within:_:)``.
package func pause(milliseconds: Int) {
  var left = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
  var rest = timespec()
  while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
}

/// Runs a measurement again while it took longer than it may to mean anything: a host may stand still at any moment, and what
/// was to be younger than a second is older then. After so many attempts the last result counts, whatever it took.
///
/// - Parameters:
///   - seconds: what the part between two calls of `ContinuousClock.now` inside of `body` may take, as `body` returns it.
///   - body: returns its result and the time that it took of what counts.
package func undisturbed<Result>(
  within seconds: Double, attempts: Int = 5, _ body: () throws -> (result: Result, elapsed: Duration)
) rethrows -> Result {
  var attempt = try body()
  for _ in 1..<attempts where attempt.elapsed > .seconds(seconds) { attempt = try body() }
  return attempt.result
}
