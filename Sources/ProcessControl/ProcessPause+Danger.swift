import Glibc
import ProcessImage
import Quantities

extension ProcessPause {
  /// Seizing, interrupting and letting go one thread, on a host that is not idle.
  static let timePerThread = Duration.microseconds(120)

  /// Why a process must not be stopped; nil when nothing speaks against it.
  ///
  /// A thread that was stopped in a call with a time limit goes on by a call for that, `restart_syscall`, which a filter of system calls may
  /// answer by killing the process. What a filter allows cannot be known from outside.
  package static func danger(to processID: Int32, within limit: Duration) -> String? {
    let threads = ProcessInfo.threads(of: processID)
    // Half of the time is for the search.
    if timePerThread * threads.count > limit / 2 {
      return "stopping \(counted(threads.count, "thread")) and letting them go would take longer than --max-pause"
    }
    guard threads.contains(where: hasFilter) else { return nil }
    return "a filter of system calls (seccomp) could kill it for going on after a stop"
  }

  /// Whether a thread may use only some system calls.
  static func hasFilter(_ thread: Int32) -> Bool {
    ThreadStatus.number("Seccomp", of: thread) ?? 0 != 0
  }
}
