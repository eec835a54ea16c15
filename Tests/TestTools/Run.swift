import Glibc
import Synchronization

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
  private let input: Int32
  private let output: Int32
  private var status: Int32?

  /// Starts a program found in PATH; standard error stays ours.
  package init(_ arguments: [String]) throws(ToolFailure) {
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    argv.append(nil)
    defer { for argument in argv { free(argument) } }
    // Tests run in parallel: a child started between pipe and fcntl would keep another one's pipe open.
    let started = spawnLock.withLock { _ in
      var toChild: [Int32] = [-1, -1]
      var fromChild: [Int32] = [-1, -1]
      pipe(&toChild)
      pipe(&fromChild)
      for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
      posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
      // Threads of the test runner block signals, and a child inherits that.
      var attributes = posix_spawnattr_t()
      posix_spawnattr_init(&attributes)
      var noSignals = sigset_t()
      sigemptyset(&noSignals)
      posix_spawnattr_setsigmask(&attributes, &noSignals)
      posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
      var pid: pid_t = 0
      let code = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, environ)
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
      close(toChild[0])
      close(fromChild[1])
      return (code: code, pid: pid, input: toChild[1], output: fromChild[0])
    }
    input = started.input
    output = started.output
    processID = started.pid
    if started.code != 0 {
      status = started.code
      throw ToolFailure(command: arguments[0], status: started.code, output: "posix_spawn")
    }
  }

  deinit {
    if status == nil {
      kill(processID, SIGKILL)
      wait()
    }
    close(input)
    close(output)
  }

  /// Everything up to the end of the program's output.
  package func readOutput() -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(output, &chunk, chunk.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }

  /// One line of the program's output, without its newline; what there is at the end of output.
  package func readLine() -> String {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
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
