import CProcessControl
import Glibc

/// Runs a closure with a higher priority for the calling thread, and for the threads that it makes and that end with it: a process
/// that stands still waits for them. Where leaktrace may not raise its priority, it does without.
///
/// - Parameter limit: how long the process may stand still. A short pause comes before all ordinary threads of the host; a longer
///   one must leave them their share.
package func withRaisedPriority<Value>(forPauseOf limit: Duration, _ body: () throws -> Value) rethrows -> Value {
  let kind = __priority_which_t(PRIO_PROCESS.rawValue)
  let thread = id_t(cprocess_own_thread())
  // Less than that of the thread that lets the process go.
  let raised: Int32 = -10
  errno = 0
  let usual = getpriority(kind, thread)
  let isRaised = errno == 0 && usual > raised && setpriority(kind, thread, raised) == 0
  var realTime = RealTimePriority(.worker, isInherited: true)
  if limit <= .seconds(1) { realTime.raise() }
  defer {
    realTime.restore()
    if isRaised { _ = setpriority(kind, thread, usual) }
  }
  return try body()
}
