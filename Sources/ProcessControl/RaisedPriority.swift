import CProcessControl
import Glibc

/// Runs a closure with a higher priority for the calling thread, and for the threads that it makes: a process that stands still
/// waits for them. Where leaktrace may not raise its priority, it does without.
package func withRaisedPriority<Value>(_ body: () throws -> Value) rethrows -> Value {
  let kind = __priority_which_t(PRIO_PROCESS.rawValue)
  let thread = id_t(cprocess_own_thread())
  // Less than that of the thread that lets the process go.
  let raised: Int32 = -10
  errno = 0
  let usual = getpriority(kind, thread)
  let isRaised = errno == 0 && usual > raised && setpriority(kind, thread, raised) == 0
  defer { if isRaised { _ = setpriority(kind, thread, usual) } }
  return try body()
}
