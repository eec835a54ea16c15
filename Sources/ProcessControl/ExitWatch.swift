import CProcessControl
import Glibc
import ProcessImage

/// Holds processes at the moment of their exit, whatever its cause, when their memory is still there.
///
/// All of their threads are traced. Signals to them pass through us and are handed on; job control works as without us.
/// Should leaktrace die, everything is let go.
///
/// Tracing the first thread alone would not do: a traced thread's process gets signals that it ignores, too, and these
/// wake whichever thread is at hand.
package final class ExitWatch: @unchecked Sendable {
  /// Makes every ptrace call; all state below belongs to it.
  package let thread: TracerThread
  /// An event descriptor that is readable when a process is held at its exit or has ended.
  package let descriptor: Int32

  private final class Watched {
    let processID: Int32
    /// Traced threads, and of those that are held at their exit what is in their registers.
    var threads: [Int32: Held?] = [:]
    /// When the first thread came to the exit of the process, if the others have not yet come.
    var waitsSince: ContinuousClock.Instant?
    var isHeld = false

    init(processID: Int32) { self.processID = processID }
  }

  /// A thread at its exit.
  private struct Held {
    var registers: StoppedThread.Registers?
  }

  private var processes: [Int32: Watched] = [:]
  /// Process by traced thread.
  private var processOfThread: [Int32: Watched] = [:]
  private var newlyHeld: [Int32] = []
  private let restart = SystemCallRestart()
  private var exitStatus: [Int32: Int32] = [:]

  package init(thread: TracerThread) {
    self.thread = thread
    descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    // The reference is unsafe on purpose: news can come when the last reference is gone and `deinit` waits for the
    // thread. Everything still exists then, but a checked reference would end the program.
    try? thread.perform { [unowned(unsafe) self] in thread.onNews = { [unowned(unsafe) self] in handleNews() } }
  }

  deinit {
    try? thread.perform { thread.onNews = nil }
    close(descriptor)
  }

  private static let report = Int32(CPROCESS_REPORT_EXIT) | Int32(CPROCESS_REPORT_CLONE)

  // MARK: For the main thread

  /// Watches a process that has one thread; to be called again after each exec. 0 or −errno: it has ended, or somebody
  /// else traces it.
  @discardableResult
  package func watch(_ processID: Int32) -> Int32 {
    run { watch in
      let code = cprocess_seize(processID, Self.report)
      if code == 0 { watch.enter(processID) }
      return code == -EPERM && watch.processOfThread[processID] != nil ? 0 : code
    }
  }

  /// Watches a process that the tracer thread has seized and stopped, and lets it run on.
  package func watch(seized processID: Int32) -> Int32 {
    run { watch in
      let code = cprocess_set_report(processID, Self.report)
      if code == 0 { watch.enter(processID) }
      return code == 0 ? cprocess_resume(processID, 0) : code
    }
  }

  /// The processes that have come to their exit since the last call. They wait there until `release`.
  package func takeHeld() -> [Int32] {
    var count: eventfd_t = 0
    eventfd_read(descriptor, &count)
    return run { watch in
      for process in watch.processes.values { watch.holdIfOverdue(process) }
      defer { watch.newlyHeld = [] }
      return watch.newlyHeld
    }
  }

  /// Exit code, or 128 + signal, of a child of ours that is watched and has ended.
  package func exitStatus(of processID: Int32) -> Int32? { run { $0.exitStatus[processID] } }

  package func isWatched(_ processID: Int32) -> Bool { run { $0.processes[processID] != nil } }

  /// The threads of a held process that are held.
  package func heldThreads(of processID: Int32) -> [StoppedThread] {
    run { watch in
      (watch.processes[processID]?.threads ?? [:]).sorted { $0.key < $1.key }.compactMap { thread, held in
        held.map { StoppedThread(threadID: thread, registers: $0.registers, stackPointer: $0.registers?.stackPointer) }
      }
    }
  }

  /// Lets a process that is held at its exit go.
  package func release(_ processID: Int32) { run { $0.letGo(processID) } }

  /// Stops every thread of a process; see `ProcessPause`. What is traced here otherwise goes on. To be ended by `resume`.
  package func pause(_ processID: Int32, patience: Duration, whileWaiting: () -> Void) throws -> ProcessPause {
    try thread.perform { [self] in
      let kept = processes[processID].map { Set($0.threads.keys) } ?? []
      return try ProcessPause(
        processID: processID, keeping: kept, restart: restart, patience: patience, whileWaiting: whileWaiting)
    }
  }

  /// Lets a process go on that was stopped by `pause`. Threads that are watched stay traced.
  package func resume(_ pause: ProcessPause) {
    run { watch in
      pause.resume()
      for stop in pause.takeUnhandledStops() { watch.handle(stop) }
      // News that came while the process was being stopped, of threads that the pause did not ask for.
      watch.handleNews()
    }
  }

  private func run<Value>(_ body: (ExitWatch) -> Value) -> Value {
    // `body` does not throw.
    try! thread.perform { body(self) }
  }

  // MARK: In the tracer thread

  private func enter(_ processID: Int32) {
    let process = Watched(processID: processID)
    processes[processID] = process
    follow(processID, process)
  }

  private func follow(_ thread: Int32, _ process: Watched) {
    process.threads[thread] = .some(nil)
    processOfThread[thread] = process
  }

  private func handleNews() {
    while true {
      var stop = cprocess_stop()
      guard cprocess_next_stop(-1, false, &stop) == 0, stop.kind != CPROCESS_NO_NEWS else { return }
      handle(stop)
    }
  }

  private func handle(_ stop: cprocess_stop) {
    guard let process = processOfThread[stop.thread] else {
      handleStray(stop)
      return
    }
    switch stop.kind {
    case CPROCESS_ENDED: noteEnd(of: stop.thread, status: stop.status, process)
    case CPROCESS_EXITING: atExit(stop.thread, process)
    case CPROCESS_JOB_STOPPED: _ = cprocess_stay_stopped(stop.thread)
    case CPROCESS_SIGNALLED:
      restart.undo(stop.thread, of: process.processID)
      _ = cprocess_resume(stop.thread, stop.signal)
    default:
      restart.undo(stop.thread, of: process.processID)
      _ = cprocess_resume(stop.thread, 0)
    }
  }

  /// A thread that is not known: a new one of a watched process, a new process, or one that was let go too late to
  /// stop.
  private func handleStray(_ stop: cprocess_stop) {
    if stop.kind == CPROCESS_ENDED {
      // A child of ours that was no longer watched.
      exitStatus[stop.thread] = Self.exitCode(stop.status)
      notify()
      return
    }
    let group = (try? ProcessInfo(processID: stop.thread))?.threadGroupID
    if let group, let process = processes[group] {
      follow(stop.thread, process)
      handle(stop)
      return
    }
    restart.undo(stop.thread, of: group ?? stop.thread)
    _ = cprocess_detach(stop.thread, stop.kind == CPROCESS_SIGNALLED ? stop.signal : 0)
  }

  private func noteEnd(of thread: Int32, status: Int32, _ process: Watched) {
    process.threads[thread] = nil
    processOfThread[thread] = nil
    if thread == process.processID {
      newlyHeld.removeAll { $0 == thread }
      exitStatus[thread] = Self.exitCode(status)
      for other in process.threads.keys { processOfThread[other] = nil }
      processes[thread] = nil
      notify()
    } else {
      holdIfLast(process)
    }
  }

  private static func exitCode(_ status: Int32) -> Int32 {
    status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
  }

  private func atExit(_ thread: Int32, _ process: Watched) {
    let others = process.threads.filter { $0.key != thread && $0.value == nil }.keys
    if process.isHeld || !others.isEmpty && (endsAlone(thread) || others.contains(where: isInExec)) {
      _ = cprocess_resume(thread, 0)
      process.threads[thread] = nil
      // The end of the first thread will be that of the process.
      if thread != process.processID { processOfThread[thread] = nil }
      return
    }
    process.threads[thread] = Held(registers: StoppedThread.Registers(ofStopped: thread))
    if process.waitsSince == nil { process.waitsSince = .now }
    holdIfLast(process)
  }

  /// Whether a thread is about to replace the program. The others are killed first, and it waits for their end.
  private func isInExec(_ thread: Int32) -> Bool {
    guard let call = try? readFile("/proc/\(thread)/syscall") else { return false }
    return [SYS_execve, SYS_execveat].contains { call.starts(with: "\($0) ".utf8) }
  }

  /// Whether only the thread ends: it has called exit(2), not exit_group(2), and was not killed.
  private func endsAlone(_ thread: Int32) -> Bool {
    var registers = cprocess_registers()
    var status: Int32 = 0
    guard cprocess_read_registers(thread, &registers) == 0, cprocess_exit_message(thread, &status) == 0 else {
      return false
    }
    return registers.system_call == Int64(SYS_exit) && status & 0x7f == 0
  }

  /// Holds the process when every thread of it is at its exit.
  private func holdIfLast(_ process: Watched) {
    guard !process.isHeld, !process.threads.isEmpty, process.threads.values.allSatisfy({ $0 != nil }) else { return }
    hold(process)
  }

  /// A thread that is stuck in the kernel does not come to its exit: the others do not wait for it for long.
  private func holdIfOverdue(_ process: Watched) {
    guard !process.isHeld, let since = process.waitsSince, .now - since > .seconds(1) else { return }
    hold(process)
  }

  private func hold(_ process: Watched) {
    process.isHeld = true
    process.waitsSince = nil
    newlyHeld.append(process.processID)
    notify()
  }

  private func letGo(_ processID: Int32) {
    guard let process = processes[processID], process.isHeld else { return }
    // The process is not held a second time: its threads come to their end now, and do nothing else.
    for (thread, held) in process.threads where held != nil { _ = cprocess_resume(thread, 0) }
  }

  private func notify() { eventfd_write(descriptor, 1) }
}
