import CProcessControl
import Glibc
import ProcessImage

/// A process all of whose threads are stopped by ptrace.
///
/// The process does not notice the pause: no signal is sent to it, a process that was stopped by job control stays
/// stopped, signals that arrive meanwhile are delivered afterwards, and interrupted system calls go on. If leaktrace
/// dies, the kernel lets every thread run. A pause has to be made, resumed and released in the same thread, a
/// `TracerThread`.
package final class ProcessPause {
  package let processID: Int32
  package private(set) var threads: [StoppedThread] = []
  /// The time from the stop of the first thread until the last one was resumed. While the pause lasts, the time until
  /// now.
  package var duration: Duration { (end ?? .now) - start }
  /// Whether the process has been let go.
  package var isOver: Bool { end != nil }
  /// When the first thread was asked to stop.
  package let start: ContinuousClock.Instant
  private var end: ContinuousClock.Instant?

  /// What has to be known to let a thread go that we hold.
  private struct Held {
    /// Whether it was traced before the pause, and is to stay traced afterwards.
    let isKept: Bool
    var stop: cprocess_stop?
  }
  private var held: [Int32: Held] = [:]
  private let restart: SystemCallRestart
  /// Of the thread that made the pause, until all threads have been let go.
  private var priority = RealTimePriority(.warden)
  /// News of kept threads that a pause cannot handle, such as their exit. It is left to whoever traces these threads;
  /// the threads are left as they are.
  private var unhandledStops: [cprocess_stop] = []

  package func takeUnhandledStops() -> [cprocess_stop] {
    defer { unhandledStops = [] }
    return unhandledStops
  }

  package enum Failure: Error, Equatable {
    case gone
    /// Another tracer, such as a debugger, traces the process. `by` is the process id of the tracer, where it is known.
    case traced(by: Int32)
    case refused(code: Int32)
    /// Stopping its threads took longer than it was allowed to; those stopped by then have been let go.
    case tooSlow
  }

  /// Stops every thread of a process.
  ///
  /// - Parameters:
  ///   - kept: threads that the calling thread has seized already and that are to stay seized.
  ///   - restart: what earlier pauses have learnt about system calls that they interrupted.
  ///   - patience: how long to wait for threads to stop. After that, a thread that is stuck in the kernel is left as it
  ///     is.
  ///   - whileWaiting: called now and then during the wait, because some threads may themselves be waiting for us.
  package init(
    processID: Int32, keeping kept: Set<Int32> = [], restart: SystemCallRestart, patience: Duration,
    whileWaiting: () -> Void = {}
  ) throws(Failure) {
    self.processID = processID
    self.restart = restart
    priority.raise()
    start = .now
    for thread in kept { held[thread] = Held(isKept: true) }
    do throws(Failure) {
      try stopAll(kept: kept, until: start + patience, whileWaiting: whileWaiting)
    } catch {
      resume()
      throw error
    }
    threads = held.sorted { $0.key < $1.key }.compactMap { threadID, thread in
      guard thread.stop != nil else {
        return StoppedThread(
          threadID: threadID, registers: nil,
          stackPointer: StoppedThread.stackPointer(ofSystemCall: threadID, of: processID))
      }
      let registers = StoppedThread.Registers(ofStopped: threadID)
      return StoppedThread(threadID: threadID, registers: registers, stackPointer: registers?.stackPointer)
    }
  }

  deinit { resume() }

  /// How long a pause may go on that is to last no longer than `limit`: letting the threads go takes time, too.
  package func timeToSearch(within limit: Duration) -> Duration { limit - timeToLetGo(within: limit) }

  private func timeToLetGo(within limit: Duration) -> Duration {
    min(limit / 2, max(.milliseconds(2), limit / 8) + Self.timePerThread / 2 * threads.count)
  }

  /// When the process is let go whatever is unfinished.
  func latestEnd(within limit: Duration) -> ContinuousClock.Instant { start + limit - timeToLetGo(within: limit) / 2 }

  /// Whether a thread stands where it was asked to: it can be made to call the system.
  package func canCall(_ thread: Int32) -> Bool { held[thread]?.stop?.kind == CPROCESS_STOPPED }

  /// Runs a closure in which a thread makes system calls; see ``RemoteCalls``.
  package func markingCalls<Value>(of thread: Int32, _ body: () throws -> Value) throws -> Value {
    let usual = held[thread]?.isKept == true ? ExitWatch.report : 0
    _ = cprocess_set_report(thread, usual | Int32(CPROCESS_MARK_SYSCALLS))
    defer { _ = cprocess_set_report(thread, usual) }
    return try body()
  }

  private func stopAll(
    kept: Set<Int32>, until deadline: ContinuousClock.Instant, whileWaiting: () -> Void
  ) throws(Failure) {
    var known: Set<Int32> = []
    // Goes on until all known threads stand still and the process shows no new one: only then can no more threads be
    // made.
    while true {
      let found = ProcessInfo.threads(of: processID).filter { known.insert($0).inserted }
      if found.isEmpty { break }
      for thread in found {
        try stop(thread, isKept: kept.contains(thread))
        // Those that stand still by now must not wait for thousands of others, nor for a busy host.
        // Threads that stay traced may have news that only their tracer can handle.
        if kept.isEmpty, ContinuousClock.now > deadline { throw .tooSlow }
      }
      waitForStops(of: found, until: deadline, whileWaiting)
    }
    if held.isEmpty { throw .gone }
  }

  private func stop(_ thread: Int32, isKept: Bool) throws(Failure) {
    var isKept = isKept
    if !isKept {
      let code = cprocess_seize(thread, 0)
      if code == -ESRCH { return }
      if code != 0 {
        // The thread may have ended, the first one even long ago. Then it cannot be traced.
        guard let info = try? ProcessInfo(processID: thread), !info.isThreadOver else { return }
        guard let tracer = tracer(of: thread), tracer != 0 else { throw .refused(code: -code) }
        // If we trace the thread that made a new one, the new one is traced by us from its start, even before we hear
        // of it.
        guard tracer == cprocess_own_thread() else { throw .traced(by: tracer) }
        isKept = true
      }
    }
    held[thread] = Held(isKept: isKept)
    if cprocess_interrupt(thread) != 0, !isKept { held[thread] = nil }
  }

  private func waitForStops(of found: [Int32], until deadline: ContinuousClock.Instant, _ whileWaiting: () -> Void) {
    var waiting = found.filter { held[$0] != nil }
    var rounds = 0
    while true {
      waiting.removeAll { hasStopped($0) }
      let now = ContinuousClock.now
      if waiting.isEmpty || now > deadline { return }
      rounds += 1
      // Most threads stop within microseconds. Those that do not may be held by a BPF program of ours until we answer.
      usleep(rounds < 20 ? 20 : 500)
      if rounds >= 20 { whileWaiting() }
    }
  }

  private func hasStopped(_ thread: Int32) -> Bool {
    var stop = cprocess_stop()
    let code = cprocess_next_stop(thread, false, &stop)
    if code == 0, stop.kind == CPROCESS_NO_NEWS { return false }
    if code != 0 || stop.kind == CPROCESS_ENDED {
      if code == 0, held[thread]?.isKept == true { unhandledStops.append(stop) }
      held[thread] = nil
    } else {
      held[thread]?.stop = stop
      // The system call is restarted at once: if leaktrace is killed during the pause, the thread goes on from here.
      if stop.kind != CPROCESS_EXITING { restart.undo(thread, of: processID) }
    }
    return true
  }

  /// Lets every thread go on. Threads that are stuck in the kernel are let go by the kernel, when the tracer thread
  /// ends.
  package func resume() {
    guard end == nil else { return }
    for (thread, how) in held {
      guard let stop = how.stop else { continue }
      if how.isKept, stop.kind == CPROCESS_EXITING {
        unhandledStops.append(stop)
        continue
      }
      let signal = stop.kind == CPROCESS_SIGNALLED ? stop.signal : 0
      if !how.isKept {
        _ = cprocess_detach(thread, signal)
      } else if stop.kind == CPROCESS_JOB_STOPPED {
        _ = cprocess_stay_stopped(thread)
      } else {
        _ = cprocess_resume(thread, signal)
      }
    }
    end = .now
    // Nothing waits any more but threads that the kernel holds up itself.
    priority.restore()
    letGoLate()
    held = [:]
  }

  /// Waits for threads that had not come to their stop in time, as can happen on a busy host, and lets them go. If this
  /// were left to the kernel, the system call that such a thread was in would return EINTR.
  private func letGoLate() {
    var late = held.filter { !$0.value.isKept && $0.value.stop == nil }.map(\.key)
    let deadline = ContinuousClock.now + .seconds(2)
    while !late.isEmpty, .now < deadline {
      late.removeAll { thread in
        guard hasStopped(thread) else { return isStuck(thread) }
        if let stop = held[thread]?.stop {
          _ = cprocess_detach(thread, stop.kind == CPROCESS_SIGNALLED ? stop.signal : 0)
        }
        return true
      }
      if !late.isEmpty { usleep(200) }
    }
  }

  /// Whether a thread waits in the kernel for something that no signal interrupts, such as a child made by vfork.
  private func isStuck(_ thread: Int32) -> Bool {
    guard let bytes = try? readFile("/proc/\(thread)/stat"), let name = bytes.lastIndex(of: UInt8(ascii: ")")) else {
      return true
    }
    return bytes.dropFirst(name + 2).first == UInt8(ascii: "D")
  }

  // MARK: What /proc tells

  private func tracer(of thread: Int32) -> Int32? {
    ThreadStatus.number("TracerPid", of: thread).map { Int32(clamping: $0) }
  }
}
