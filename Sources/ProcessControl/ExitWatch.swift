import CProcessControl
import Glibc
import ProcessImage

/// Holds processes at the moment of their exit, whatever its cause, when their memory is still there.
///
/// Of each process only the first thread is traced: it comes to its exit last, or else (it may call pthread_exit) the others
/// are traced from then on. Signals to traced threads pass through us and are handed on; job control works as without us.
/// Should leaktrace die, everything is let go.
package final class ExitWatch: @unchecked Sendable {
  /// Makes every ptrace call; all state below belongs to it.
  package let thread: TracerThread
  /// An event descriptor that is readable when a process is held at its exit or has ended.
  package let descriptor: Int32

  private final class Watched {
    let processID: Int32
    /// Traced threads, and where those are that are held at their exit.
    var threads: [Int32: Held?] = [:]
    /// Whether the first thread has ended before the others, and these are traced.
    var followsThreads = false
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
    try? thread.perform { [unowned self] in thread.onNews = { [unowned self] in handleNews() } }
  }

  deinit {
    try? thread.perform { thread.onNews = nil }
    close(descriptor)
  }

  private static let report = Int32(CPROCESS_REPORT_EXIT)
  private static let reportWithThreads = report | Int32(CPROCESS_REPORT_CLONE)

  // MARK: For the main thread

  /// Watches a process that runs; to be called again after each exec, since one by another than the first thread takes
  /// the traced thread's place. 0 or −errno: it has ended, or somebody else traces it.
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
      // What came while the process was being stopped was news of threads that the pause did not ask for.
      watch.handleNews()
    }
  }

  private func run<Value>(_ body: (ExitWatch) -> Value) -> Value {
    // `body` throws nothing.
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

  /// A thread not known: a new one of a process whose threads are followed, or one that was let go too late to stop.
  private func handleStray(_ stop: cprocess_stop) {
    if stop.kind == CPROCESS_ENDED {
      // A child of ours that was no longer watched.
      exitStatus[stop.thread] = Self.exitCode(stop.status)
      notify()
      return
    }
    let group = (try? ProcessInfo(processID: stop.thread))?.threadGroupID
    if let group, let process = processes[group], process.followsThreads {
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
    if process.isHeld { return }
    if endsAlone(thread) {
      if !process.followsThreads { followThreads(of: process, except: thread) }
      if othersLive(than: thread, in: process) {
        _ = cprocess_resume(thread, 0)
        process.threads[thread] = nil
        // Its end will be that of the process when it is the first thread.
        if thread != process.processID { processOfThread[thread] = nil }
        return
      }
    }
    process.threads[thread] = Held(registers: StoppedThread.Registers(ofStopped: thread))
    holdIfLast(process)
  }

  /// Whether only the thread ends: it has called exit(2), not exit_group(2), and was not killed.
  private func endsAlone(_ thread: Int32) -> Bool {
    var registers = cprocess_registers()
    var status: Int32 = 0
    guard cprocess_read_registers(thread, &registers) == 0, cprocess_exit_message(thread, &status) == 0 else {
      return false
    }
    let exitCall: Int64 = 60
    return registers.system_call == exitCall && status & 0x7f == 0
  }

  private func followThreads(of process: Watched, except first: Int32) {
    process.followsThreads = true
    var known: Set<Int32> = [first]
    while true {
      let found = ProcessInfo.threads(of: process.processID).filter { known.insert($0).inserted }
      if found.isEmpty { return }
      for thread in found where cprocess_seize(thread, Self.reportWithThreads) == 0 { follow(thread, process) }
    }
  }

  private func othersLive(than thread: Int32, in process: Watched) -> Bool {
    process.threads.contains { $0.key != thread && $0.value == nil }
  }

  /// Holds the process when every traced thread of it is at its exit. Threads that are not traced are dying, too.
  private func holdIfLast(_ process: Watched) {
    guard !process.isHeld, !process.threads.isEmpty, process.threads.values.allSatisfy({ $0 != nil }) else { return }
    process.isHeld = true
    newlyHeld.append(process.processID)
    notify()
  }

  private func letGo(_ processID: Int32) {
    guard let process = processes[processID], process.isHeld else { return }
    for thread in process.threads.keys { _ = cprocess_resume(thread, 0) }
    // Not again: its threads come to their end now, and nothing else.
    process.threads = process.threads.mapValues { _ in nil }
  }

  private func notify() { eventfd_write(descriptor, 1) }
}
