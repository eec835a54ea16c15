import CProcessControl
import Glibc
import ProcessImage

/// Holds processes at the moment of their exit, whatever its cause, while their memory is still there.
///
/// All threads of a watched process are traced. Signals to the process come to leaktrace first, which passes them on;
/// job control works as it does without leaktrace. If leaktrace dies, every process goes on.
///
/// It would not be enough to trace the first thread: a process that is traced gets even those signals that it ignores,
/// and they wake whichever thread is available.
package final class ExitWatch: @unchecked Sendable {
  /// Makes every ptrace call. All state below may be used in this thread only.
  package let thread: TracerThread
  /// An event descriptor. It is readable when a process is held at its exit or has ended.
  package let descriptor: Int32

  private final class Watched {
    let processID: Int32
    /// The traced threads. For those that are held at their exit, the value has the contents of their registers.
    var threads: [Int32: Held?] = [:]
    /// When the first thread came to the exit of the process, as long as other threads have not come to it.
    var waitsSince: ContinuousClock.Instant?
    var isHeld = false

    init(processID: Int32) { self.processID = processID }
  }

  /// A thread that is held at its exit.
  private struct Held {
    var registers: StoppedThread.Registers?
  }

  private var processes: [Int32: Watched] = [:]
  /// The process to which each traced thread belongs.
  private var processOfThread: [Int32: Watched] = [:]
  private var newlyHeld: [Int32] = []
  private let restart = SystemCallRestart()
  private var exitStatus: [Int32: Int32] = [:]

  package init(thread: TracerThread) {
    self.thread = thread
    descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    // The reference is unsafe on purpose. News can come after the last reference is gone, while `deinit` waits for the
    // thread. Everything still exists then, but a checked reference would end the program.
    try? thread.perform { [unowned(unsafe) self] in thread.onNews = { [unowned(unsafe) self] in handleNews() } }
  }

  deinit {
    try? thread.perform { thread.onNews = nil }
    close(descriptor)
  }

  static let report = Int32(CPROCESS_REPORT_EXIT) | Int32(CPROCESS_REPORT_CLONE)

  // MARK: For the main thread

  /// Watches a process that has one thread. This has to be called again after each exec. Returns 0, or −errno if the
  /// process has ended or somebody else traces it.
  @discardableResult
  package func watch(_ processID: Int32) -> Int32 {
    run { watch in
      let code = cprocess_seize(processID, Self.report)
      if code == 0 { watch.enter(processID) }
      return code == -EPERM && watch.processOfThread[processID] != nil ? 0 : code
    }
  }

  /// Watches a process that the tracer thread has seized and stopped already, and lets it run on.
  package func watch(seized processID: Int32) -> Int32 {
    run { watch in
      let code = cprocess_set_report(processID, Self.report)
      if code == 0 { watch.enter(processID) }
      return code == 0 ? cprocess_resume(processID, 0) : code
    }
  }

  /// The processes that have come to their exit since the last call. They wait there until `release` is called.
  package func takeHeld() -> [Int32] {
    var count: eventfd_t = 0
    eventfd_read(descriptor, &count)
    return run { watch in
      for process in watch.processes.values { watch.holdIfOverdue(process) }
      defer { watch.newlyHeld = [] }
      return watch.newlyHeld
    }
  }

  /// The exit code, or 128 + signal, of a watched child of ours that has ended. nil otherwise.
  package func exitStatus(of processID: Int32) -> Int32? { run { $0.exitStatus[processID] } }

  package func isWatched(_ processID: Int32) -> Bool { run { $0.processes[processID] != nil } }

  /// The threads of a held process that have come to their exit.
  package func heldThreads(of processID: Int32) -> [StoppedThread] {
    run { watch in
      (watch.processes[processID]?.threads ?? [:]).sorted { $0.key < $1.key }.compactMap { thread, held in
        held.map { StoppedThread(threadID: thread, registers: $0.registers, stackPointer: $0.registers?.stackPointer) }
      }
    }
  }

  /// Lets a process that is held at its exit go on.
  package func release(_ processID: Int32) { run { $0.letGo(processID) } }

  /// Stops every thread of a process; see `ProcessPause`. Watched threads stay traced, and other watched processes run
  /// on. To be ended by `resume`, and ended by itself before `limit` is over.
  package func pause(
    _ processID: Int32, patience: Duration, limit: Duration, whileWaiting: () -> Void
  ) throws -> ProcessPause {
    try thread.perform { [self] in
      let kept = processes[processID].map { Set($0.threads.keys) } ?? []
      let pause = try ProcessPause(
        processID: processID, keeping: kept, restart: restart, patience: patience, whileWaiting: whileWaiting)
      thread.setAlarm(at: pause.latestEnd(within: limit)) { [unowned(unsafe) self] in _ = resume(pause) }
      return pause
    }
  }

  /// Runs a closure while every thread of a process is stopped. Watched threads stay traced.
  package func withStopped<Value>(
    _ processID: Int32, patience: Duration, _ body: (ProcessPause) throws -> Value
  ) throws -> Value {
    try thread.perform { [self] in
      let kept = processes[processID].map { Set($0.threads.keys) } ?? []
      let pause = try ProcessPause(processID: processID, keeping: kept, restart: restart, patience: patience)
      defer {
        pause.resume()
        for stop in pause.takeUnhandledStops() { handle(stop) }
        handleNews()
      }
      return try body(pause)
    }
  }

  /// Whether a process that was stopped by `pause` has not been let go.
  package func isOn(_ pause: ProcessPause) -> Bool { thread.isOn(pause) }

  /// Lets a process that was stopped by `pause` go on. Threads that are watched stay traced. Returns false if it went on
  /// before, because its time was over.
  package func resume(_ pause: ProcessPause) -> Bool {
    run { watch in
      guard !pause.isOver else { return false }
      watch.thread.cancelAlarm()
      pause.resume()
      for stop in pause.takeUnhandledStops() { watch.handle(stop) }
      // While the process was being stopped, there may have been news of threads that the pause did not ask for.
      watch.handleNews()
      return true
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

  /// Handles a stop of a thread that is not known: it is a new thread of a watched process, or belongs to a new
  /// process, or was let go before it had come to its stop.
  private func handleStray(_ stop: cprocess_stop) {
    if stop.kind == CPROCESS_ENDED {
      // A child of ours that was not watched any more.
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
      // The first thread stays known, because the kernel reports the end of the process as its end.
      if thread != process.processID { processOfThread[thread] = nil }
      return
    }
    process.threads[thread] = Held(registers: StoppedThread.Registers(ofStopped: thread))
    if process.waitsSince == nil { process.waitsSince = .now }
    holdIfLast(process)
  }

  /// Whether a thread is in the middle of an exec. It then waits until all other threads have been killed, so they must
  /// not be held.
  private func isInExec(_ thread: Int32) -> Bool {
    guard let call = try? readFile("/proc/\(thread)/syscall") else { return false }
    return [SYS_execve, SYS_execveat].contains { call.starts(with: "\($0) ".utf8) }
  }

  /// Whether only this thread ends, and not the process: it has called exit(2) rather than exit_group(2), and was not
  /// killed.
  private func endsAlone(_ thread: Int32) -> Bool {
    var registers = cprocess_registers()
    var status: Int32 = 0
    guard cprocess_read_registers(thread, &registers) == 0, cprocess_exit_message(thread, &status) == 0 else {
      return false
    }
    return registers.system_call == Int64(SYS_exit) && status & 0x7f == 0
  }

  /// Holds the process if all of its threads have come to their exit.
  private func holdIfLast(_ process: Watched) {
    guard !process.isHeld, !process.threads.isEmpty, process.threads.values.allSatisfy({ $0 != nil }) else { return }
    hold(process)
  }

  /// Holds the process although some thread has not come to its exit, because it may be stuck in the kernel. The others
  /// wait for it no longer than a second.
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
    // `isHeld` stays true, so that the process is not held a second time: its threads only come to their end now.
    for (thread, held) in process.threads where held != nil { _ = cprocess_resume(thread, 0) }
  }

  private func notify() { eventfd_write(descriptor, 1) }
}
