import Glibc
import Synchronization
import SystemSupport

private let spawnLock = Mutex(())

/// A program that a test relies on did not do its work.
package struct ToolFailure: Error, CustomStringConvertible {
  package let command: String
  package let status: Int32
  package let output: String
  package var description: String { "\(command): status \(status)\n\(output)" }

  package init(command: String, status: Int32, output: String) {
    self.command = command
    self.status = status
    self.output = output
  }
}

/// Where a program lies in PATH, or nil.
package func findTool(_ name: String) -> String? {
  let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
  for directory in path.split(separator: ":") where access("\(directory)/\(name)", X_OK) == 0 {
    return "\(directory)/\(name)"
  }
  return nil
}

/// Runs a program to its end and returns what it printed on standard output. Throws unless it exits with 0.
@discardableResult
package func run(_ arguments: [String]) throws(ToolFailure) -> String {
  let child = try RunningProgram(arguments)
  let output = child.readOutput()
  let status = child.wait()
  guard status == 0 else {
    throw ToolFailure(command: arguments.joined(separator: " "), status: status, output: output)
  }
  return output
}

/// A child process with pipes to its standard input and output. Killed and waited for when the object goes away.
package final class RunningProgram {
  package let processID: Int32
  /// −1 once closed.
  private var input: Int32
  private let output: Int32
  /// −1 unless captured.
  private let errors: Int32
  private var status: Int32?

  /// Starts a program found in PATH; standard error stays ours unless it is captured.
  ///
  /// - Parameter environment: variables to set beside our own.
  package init(
    _ arguments: [String], environment: [String: String] = [:], capturesErrors: Bool = false
  ) throws(ToolFailure) {
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    argv.append(nil)
    var envp = Self.inherited(without: environment).map { strdup($0) }
    envp += environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in argv + envp { free(text) } }
    // Tests run in parallel: a child started between pipe and fcntl would keep another one's pipe open.
    let started = spawnLock.withLock { _ in
      Self.keepDescriptors()
      var toChild: [Int32] = [-1, -1]
      var fromChild: [Int32] = [-1, -1]
      var errorsFromChild: [Int32] = [-1, -1]
      pipe(&toChild)
      pipe(&fromChild)
      if capturesErrors { pipe(&errorsFromChild) }
      for descriptor in toChild + fromChild + errorsFromChild where descriptor >= 0 {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      }
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
      posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
      if capturesErrors { posix_spawn_file_actions_adddup2(&actions, errorsFromChild[1], 2) }
      // Threads of the test runner block signals, and a child inherits that.
      var attributes = posix_spawnattr_t()
      posix_spawnattr_init(&attributes)
      var noSignals = sigset_t()
      sigemptyset(&noSignals)
      posix_spawnattr_setsigmask(&attributes, &noSignals)
      posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
      var pid: pid_t = 0
      let code = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, envp)
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
      close(toChild[0])
      close(fromChild[1])
      if capturesErrors { close(errorsFromChild[1]) }
      return (
        code: code, pid: pid, input: toChild[1], output: fromChild[0], errors: errorsFromChild[0]
      )
    }
    input = started.input
    output = started.output
    errors = started.errors
    processID = started.pid
    if started.code != 0 {
      status = started.code
      throw ToolFailure(command: arguments[0], status: started.code, output: "posix_spawn")
    }
  }

  /// Whoever waits for the end of the runner's output would wait for the last program that holds what the runner inherited;
  /// and what other tests have open at the moment is none of the program's business.
  private static func keepDescriptors() {
    for descriptor in Int32(3)..<1024 where fcntl(descriptor, F_GETFD) == 0 {
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
  }

  deinit {
    if status == nil {
      kill(processID, SIGKILL)
      wait()
    }
    if input >= 0 { close(input) }
    close(output)
    if errors >= 0 { close(errors) }
  }

  /// Our environment but for these variables.
  private static func inherited(without names: [String: String]) -> [String] {
    var result: [String] = []
    var entry = environ
    while let text = entry.pointee {
      let variable = String(cString: text)
      if names[String(variable.prefix { $0 != "=" })] == nil { result.append(variable) }
      entry += 1
    }
    return result
  }

  /// Everything up to the end of the program's output. A program that takes longer than the timeout is killed.
  package func readOutput(timeout seconds: Double? = nil) -> String {
    readAll(output, timeout: seconds)
  }

  /// Everything up to the end of the program's standard error, if that is captured.
  package func readErrors(timeout seconds: Double? = nil) -> String {
    errors < 0 ? "" : readAll(errors, timeout: seconds)
  }

  private func readAll(_ descriptor: Int32, timeout seconds: Double?) -> String {
    let end = seconds.map { monotonicSeconds() + $0 }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while isReadable(descriptor, before: end) {
      let count = read(descriptor, &chunk, chunk.count)
      if count <= 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// One line of the program's output, without its newline; what there is at the end of output. A program that takes
  /// longer than the timeout is killed.
  package func readLine(timeout seconds: Double? = nil) -> String { readLine(output, timeout: seconds) }

  /// The same of its standard error, if that is captured.
  package func readErrorLine(timeout seconds: Double? = nil) -> String {
    errors < 0 ? "" : readLine(errors, timeout: seconds)
  }

  private func readLine(_ descriptor: Int32, timeout seconds: Double?) -> String {
    let end = seconds.map { monotonicSeconds() + $0 }
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while isReadable(descriptor, before: end), read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func isReadable(_ descriptor: Int32, before end: Double?) -> Bool {
    guard let end else { return true }
    while true {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let left = end - monotonicSeconds()
      let ready = poll(&waiting, 1, Int32(max(0, left * 1000)))
      if ready > 0 { return true }
      if ready < 0, errno == EINTR { continue }
      kill(processID, SIGKILL)
      return false
    }
  }

  /// Ends the program's standard input.
  package func closeInput() {
    if input >= 0 { close(input) }
    input = -1
  }

  /// Writes to the program's standard input.
  package func send(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(input, bytes, bytes.count)
  }

  /// Waits for the end. The exit code, or 128 + signal.
  @discardableResult
  package func wait() -> Int32 {
    if let status { return status }
    var raw: Int32 = 0
    while waitpid(processID, &raw, 0) < 0, errno == EINTR {}
    let result = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
    status = result
    return result
  }
}
