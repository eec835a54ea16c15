import CConfinement
import Glibc
import SystemSupport

/// Our end of the worker: the process without privileges that reads symbols and debug information of hostile files.
///
/// It is started when it is first needed, and again after it has died or taken too long. What it answers is believed only as far
/// as a hostile file could be believed: names and numbers, of bounded length.
final class SymbolWorker {
  enum Failure: Error {
    case cannotStart(Int32)
    case died(signal: Int32)
    case tookTooLong
    case malformed
    case interrupted
    /// Too many requests have failed; nothing is asked until the next report.
    case givenUp

    var text: String {
      switch self {
      case .cannotStart(let code): "the process that reads files cannot be started: \(errorMessage(code))"
      case .died(let signal) where signal == 0: "the process that reads files ended"
      case .died(let signal): "the process that reads files ended by signal \(signal)"
      case .tookTooLong: "it took too long"
      case .malformed: "the process that reads files answered nonsense"
      case .interrupted: "interrupted"
      case .givenUp: "too many files failed before"
      }
    }
  }

  let limits: WorkerLimits
  private let isInterrupted: @Sendable () -> Bool
  /// Of the process that runs now; negative if there is none.
  private(set) var processID: Int32 = -1
  private var connection: Int32 = -1
  /// Goes up with each process that is started: what was opened in an earlier one is not open any more.
  private(set) var generation = 0
  private var failures = 0
  private var nextModule: UInt32 = 0

  init(limits: WorkerLimits, isInterrupted: @escaping @Sendable () -> Bool) {
    self.limits = limits
    self.isInterrupted = isInterrupted
  }

  deinit { stop() }

  func newModuleNumber() -> UInt32 {
    nextModule &+= 1
    return nextModule
  }

  /// Ends the process, which gives its memory back. The next request starts another one, and failures count from none.
  func stop() {
    end()
    failures = 0
  }

  /// Starts the process if there is none, so that `generation` is that of the one that the next request goes to.
  func prepare() throws(Failure) {
    guard failures < limits.maximumFailures else { throw .givenUp }
    if processID < 0 { try start() }
  }

  /// Asks, and waits for the answer: as long as the limits allow, and only until leaktrace is told to end.
  func request(_ message: MessageWriter, descriptors: [Int32] = []) throws(Failure) -> MessageReader {
    if isInterrupted() { throw .interrupted }
    try prepare()
    do {
      return try exchange(message, descriptors)
    } catch {
      if case .interrupted = error {} else { failures += 1 }
      guard case .died = error else {
        end()
        throw error
      }
      let signal = end(hasEnded: true)
      throw signal == SIGXCPU ? .tookTooLong : .died(signal: signal)
    }
  }

  private func start() throws(Failure) {
    var descriptor: Int32 = -1
    let started = cconfine_start(limits.program, WorkerMain.argument, &descriptor)
    guard started > 0 else {
      failures += 1
      throw .cannotStart(-started)
    }
    processID = started
    connection = descriptor
    generation += 1
    var message = MessageWriter()
    message.put(WorkerRequest.configure.rawValue)
    message.put(limits.memoryInBytes)
    _ = try request(message)
  }

  /// Ends the process and waits for that.
  ///
  /// - Parameter hasEnded: whether it has closed its connection, so that it is about to end by itself.
  /// - Returns: the signal that ended it, if that was not ours.
  @discardableResult
  private func end(hasEnded: Bool = false) -> Int32 {
    guard processID > 0 else { return 0 }
    var status: Int32 = 0
    var usage = rusage()
    var isReaped = false
    for _ in 0..<(hasEnded ? 100 : 0) where !isReaped {
      isReaped = wait4(processID, &status, WNOHANG, &usage) == processID
      if !isReaped { usleep(2000) }
    }
    if !isReaped {
      kill(processID, SIGKILL)
      while wait4(processID, &status, 0, &usage) < 0, errno == EINTR {}
      status = 0
    }
    let used = [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
    HelperTime.add(seconds: used)
    close(connection)
    processID = -1
    connection = -1
    return status & 0x7f
  }

  private func exchange(_ message: MessageWriter, _ descriptors: [Int32]) throws(Failure) -> MessageReader {
    let bytes = message.finished
    guard cconfine_send(connection, bytes, bytes.count, descriptors, Int32(descriptors.count)) == 0 else {
      throw .died(signal: 0)
    }
    var watch = Stopwatch(of: processID)
    let header = try receive(4, &watch)
    let length = header.enumerated().reduce(0) { $0 | Int($1.element) << ($1.offset * 8) }
    guard length <= MessageReader.maximumLength else { throw .malformed }
    return MessageReader(try receive(length, &watch))
  }

  /// The time that a request takes.
  private struct Stopwatch {
    let start = monotonicSeconds()
    let startCPU: Double
    init(of processID: Int32) { startCPU = cpuSeconds(ofProcess: processID) ?? 0 }
  }

  private func receive(_ count: Int, _ watch: inout Stopwatch) throws(Failure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      // Without room for descriptors: a worker can pass none to us.
      let got = bytes.withUnsafeMutableBytes {
        recv(connection, $0.baseAddress! + filled, count - filled, Int32(MSG_DONTWAIT))
      }
      if got > 0 {
        filled += got
        continue
      }
      if got == 0 { throw .died(signal: 0) }
      guard errno == EAGAIN || errno == EINTR else { throw .died(signal: 0) }
      try wait(watch)
    }
    return bytes
  }

  private func wait(_ watch: Stopwatch) throws(Failure) {
    var waiting = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, 50) <= 0 else { return }
    if isInterrupted() { throw .interrupted }
    let isPatient = failures < limits.patientFailures
    let cpu = (cpuSeconds(ofProcess: processID) ?? 0) - watch.startCPU
    if cpu > (isPatient ? limits.cpuSeconds : limits.laterCPUSeconds)
      || monotonicSeconds() - watch.start > (isPatient ? limits.seconds : limits.laterSeconds)
    {
      throw .tookTooLong
    }
  }
}
