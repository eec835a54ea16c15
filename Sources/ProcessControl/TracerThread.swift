import CProcessControl
import Glibc
import Synchronization

/// A thread of ours that makes all ptrace calls of a job.
///
/// To the kernel, a tracer is a thread. When that thread ends, the kernel lets go everything that it still traces. This
/// includes threads that could not be let go earlier, because they never came to a stop.
package final class TracerThread: @unchecked Sendable {
  /// A closure that is to be run in the thread, with a semaphore for the caller that waits for it.
  private final class Job: @unchecked Sendable {
    private var body: (() -> Void)?
    private var finished = sem_t()

    init(_ body: @escaping () -> Void) {
      self.body = body
      sem_init(&finished, 0, 0)
    }

    deinit { sem_destroy(&finished) }

    func run() {
      body?()
      // The closure is released first, so that the caller does not go on while the closure still holds references.
      body = nil
      sem_post(&finished)
    }

    func wait() { while sem_wait(&finished) != 0 {} }
  }

  private struct State {
    var jobs: [Job] = []
    var isEnding = false
  }

  private let state = Mutex(State())
  /// What is to be done at a moment unless it is called off. Only the thread uses it.
  private var alarm: (time: ContinuousClock.Instant, action: () -> Void)?
  /// An event descriptor that tells the thread that there are jobs.
  private let wakeUp: Int32
  /// A signal descriptor that tells the thread that something has happened to a child or a tracee.
  private let childSignals: Int32
  private var thread = pthread_t()
  /// Called in the thread when something may have happened to a child or a tracee. It has to be set by a job.
  package var onNews: (() -> Void)?

  /// Starts the thread. From here on, SIGCHLD is blocked in the calling thread, and so in the threads that it makes
  /// later: otherwise one of them could take the signal, and the descriptor on which this thread waits would not show
  /// it.
  package init() {
    wakeUp = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    childSignals = cprocess_signal_descriptor([SIGCHLD], 1)
    let own = Unmanaged.passUnretained(self).toOpaque()
    let code = pthread_create(&thread, nil, tracerThreadMain, own)
    precondition(code == 0, "no thread can be made")
  }

  deinit { end() }

  /// Ends the thread. The kernel then lets go whatever it still traces.
  package func end() {
    let isFirst = state.withLock { state in
      defer { state.isEnding = true }
      return !state.isEnding
    }
    guard isFirst else { return }
    eventfd_write(wakeUp, 1)
    pthread_join(thread, nil)
    close(wakeUp)
    close(childSignals)
  }

  /// Runs a closure in the thread and waits until it is done. When called in the thread itself, it simply calls the
  /// closure.
  package func perform<Value>(_ body: () throws -> Value) throws -> Value {
    if pthread_equal(pthread_self(), thread) != 0 { return try body() }
    var result: Result<Value, any Error>?
    withoutActuallyEscaping(body) { body in
      withUnsafeMutablePointer(to: &result) { result in
        let job = Job { result.pointee = Result { try body() } }
        state.withLock { $0.jobs.append(job) }
        eventfd_write(wakeUp, 1)
        job.wait()
      }
    }
    return try result!.get()
  }

  /// Lets the thread do something at a moment, whatever else leaktrace is busy with then. To be called in the thread; one thing
  /// at a time.
  func setAlarm(at time: ContinuousClock.Instant, _ action: @escaping () -> Void) { alarm = (time, action) }

  /// Calls the alarm off. To be called in the thread.
  func cancelAlarm() { alarm = nil }

  /// Milliseconds until the alarm, rounded up; -1 without one.
  private var patience: Int32 {
    guard let alarm else { return -1 }
    let left = alarm.time - .now
    return left <= .zero ? 0 : Int32(clamping: left.inWholeMilliseconds + 1)
  }

  private func soundAlarm() {
    guard let due = alarm, due.time <= .now else { return }
    alarm = nil
    due.action()
  }

  /// Stops every thread of a process; see `ProcessPause`. To be ended by `resume`, and ended by itself before `limit` is over.
  package func pause(
    _ processID: Int32, restart: SystemCallRestart, patience: Duration, limit: Duration, whileWaiting: () -> Void
  ) throws -> ProcessPause {
    try perform {
      let pause = try ProcessPause(
        processID: processID, restart: restart, patience: patience, whileWaiting: whileWaiting)
      setAlarm(at: pause.latestEnd(within: limit)) { pause.resume() }
      return pause
    }
  }

  /// Whether a process that was stopped by `pause` has not been let go.
  package func isOn(_ pause: ProcessPause) -> Bool { (try? perform { !pause.isOver }) ?? false }

  /// Lets a process that was stopped by `pause` go on. Returns false if it went on before, because its time was over.
  package func resume(_ pause: ProcessPause) -> Bool {
    let isFirst = try? perform {
      guard !pause.isOver else { return false }
      cancelAlarm()
      pause.resume()
      return true
    }
    return isFirst ?? false
  }

  fileprivate func main() {
    // What is stopped must not wait for its turn behind a busy host. The thread does little; where it may not, it does without.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(cprocess_own_thread()), -20)
    while true {
      var descriptors = [wakeUp, childSignals].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&descriptors, 2, patience)
      soundAlarm()
      var count: eventfd_t = 0
      eventfd_read(wakeUp, &count)
      var hasNews = false
      while cprocess_next_signal(childSignals) != 0 { hasNews = true }
      let (jobs, isEnding) = state.withLock { state in
        defer { state.jobs = [] }
        return (state.jobs, state.isEnding)
      }
      if hasNews { onNews?() }
      for job in jobs { job.run() }
      if isEnding { return }
    }
  }
}

extension Duration {
  fileprivate var inWholeMilliseconds: Int64 {
    components.seconds &* 1000 &+ components.attoseconds / 1_000_000_000_000_000
  }
}

private func tracerThreadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let argument { Unmanaged<TracerThread>.fromOpaque(argument).takeUnretainedValue().main() }
  return nil
}
