import CProcessControl
import Glibc
import ProcessImage

/// Prevents system calls from returning EINTR only because leaktrace stopped the thread. signal(7) lists the calls that
/// the kernel does not restart by itself.
///
/// When a call with a time limit is restarted, its time begins anew. A series of checks could thus keep it from ever
/// expiring. To avoid that, the time is counted from the first stop that the call met; when it is over, the call is
/// ended as if it had expired.
package final class SystemCallRestart {
  /// A system call with a time limit that was restarted.
  private struct Waiting {
    var number: Int64
    var stackPointer: UInt64
    /// How many times the thread had gone to sleep when the call was restarted.
    var sleeps: UInt64
    var deadline: ContinuousClock.Instant
  }

  private var waiting: [Int32: Waiting] = [:]

  package init() {}

  /// These return EINTR on sockets with SO_RCVTIMEO or SO_SNDTIMEO. When they have moved any data before, they return
  /// the count of it and never EINTR, so that a restart loses nothing.
  private static let callsOfSockets = Set(
    [
      SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_connect, SYS_accept, SYS_sendto, SYS_recvfrom, SYS_sendmsg,
      SYS_recvmsg,
      SYS_accept4, SYS_recvmmsg, SYS_sendmmsg,
    ].map { Int64($0) })

  /// Undoes the interruption of a system call, for a thread that the calling thread has stopped and is about to let go.
  package func undo(_ thread: Int32, of processID: Int32) {
    var call = cprocess_syscall()
    guard cprocess_read_syscall(thread, &call) == 0, call.number >= 0 else { return }
    if call.result == Self.restartBlock, ProcessPause.hasFilter(thread) {
      avoidRestartCall(thread, call, processID)
      return
    }
    guard call.result == -Int64(EINTR) else { return }
    switch Int32(truncatingIfNeeded: call.number) {
    case SYS_semop, SYS_io_uring_enter: _ = cprocess_restart_call(thread)
    case SYS_epoll_wait, SYS_epoll_pwait:
      let milliseconds = Int32(truncatingIfNeeded: call.arguments.3)
      restart(thread, call, limit: milliseconds < 0 ? nil : .milliseconds(Int64(milliseconds)), atLimit: 0)
    case SYS_epoll_pwait2:
      restart(thread, call, limit: duration(at: call.arguments.3, processID), atLimit: 0)
    case SYS_io_getevents, SYS_io_pgetevents:
      restart(thread, call, limit: duration(at: call.arguments.4, processID), atLimit: 0)
    case SYS_semtimedop:
      restart(thread, call, limit: duration(at: call.arguments.3, processID), atLimit: -Int64(EAGAIN))
    case SYS_rt_sigtimedwait:
      restart(thread, call, limit: duration(at: call.arguments.2, processID), atLimit: -Int64(EAGAIN))
    default:
      // Only of sockets is it known that a call that was interrupted in this way has had no effect.
      let descriptor = Int32(truncatingIfNeeded: call.arguments.0)
      guard Self.callsOfSockets.contains(call.number),
        readLink("/proc/\(processID)/fd/\(descriptor)")?.hasPrefix("socket:") == true
      else { return }
      _ = cprocess_restart_call(thread)
    }
  }

  /// −ERESTART_RESTARTBLOCK: the kernel would have the thread go on by `restart_syscall`.
  private static let restartBlock: Int64 = -516

  /// Has a thread under a filter of system calls make the call itself again, which the filter has allowed before. A signal
  /// of the program's own, seen by us, must not end it.
  private func avoidRestartCall(_ thread: Int32, _ call: cprocess_syscall, _ processID: Int32) {
    switch Int32(truncatingIfNeeded: call.number) {
    case SYS_nanosleep: restart(thread, call, limit: duration(at: call.arguments.0, processID), atLimit: 0)
    case SYS_clock_nanosleep: restart(thread, call, limit: duration(at: call.arguments.2, processID), atLimit: 0)
    case SYS_poll:
      restart(thread, call, limit: .milliseconds(Int64(Int32(truncatingIfNeeded: call.arguments.2))), atLimit: 0)
    case SYS_futex:
      restart(thread, call, limit: duration(at: call.arguments.3, processID), atLimit: -Int64(ETIMEDOUT))
    default: _ = cprocess_restart_call(thread)
    }
  }

  private func restart(_ thread: Int32, _ call: cprocess_syscall, limit: Duration?, atLimit result: Int64) {
    guard let limit else {
      _ = cprocess_restart_call(thread)
      return
    }
    let now = ContinuousClock.now
    let sleeps = sleeps(of: thread)
    var deadline = now + limit
    // It is still the same call if the thread has gone to sleep twice since then: once to go on waiting, and once for
    // the stop.
    if let known = waiting[thread], known.number == call.number, known.stackPointer == call.stack_pointer,
      sleeps == known.sleeps + 2
    {
      deadline = min(deadline, known.deadline)
    }
    if deadline <= now {
      waiting[thread] = nil
      _ = cprocess_set_result(thread, result)
    } else {
      if waiting.count > 10_000 { waiting = [:] }
      waiting[thread] = Waiting(
        number: call.number, stackPointer: call.stack_pointer, sleeps: sleeps, deadline: deadline)
      _ = cprocess_restart_call(thread)
    }
  }

  /// The value of a `struct timespec` in the process's memory. nil if there is none.
  private func duration(at address: UInt64, _ processID: Int32) -> Duration? {
    guard address != 0, let memory = try? RemoteMemory(processID: processID),
      let seconds = memory.value(at: address, as: Int64.self),
      let nanoseconds = memory.value(at: address &+ 8, as: Int64.self)
    else { return nil }
    return .seconds(min(max(seconds, 0), 1 << 32)) + .nanoseconds(nanoseconds)
  }

  private func sleeps(of thread: Int32) -> UInt64 {
    ThreadStatus.number("voluntary_ctxt_switches", of: thread) ?? 0
  }
}
