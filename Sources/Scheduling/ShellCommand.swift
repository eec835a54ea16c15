import CProcessControl
import Glibc
import SystemSupport

/// A command line of the user, which the shell runs. What the command prints goes to standard error, because standard
/// output is for the results of leaktrace.
///
/// If the command still runs when this object is destroyed, it is killed.
package final class ShellCommand {
  /// How a command ended.
  package enum Ending: Hashable, Sendable, CustomStringConvertible {
    case status(Int32)
    case signal(Int32)

    package var isSuccess: Bool { self == .status(0) }

    package var description: String {
      switch self {
      case .status(let status): "status \(status)"
      case .signal(let signal): "signal \(signal)"
      }
    }

    /// - Parameter status: the status as waitpid returns it.
    init(_ status: Int32) {
      self = status & 0x7f == 0 ? .status(status >> 8 & 0xff) : .signal(status & 0x7f)
    }
  }

  /// Why a command could not be started.
  package struct StartError: Error, Hashable, Sendable, CustomStringConvertible {
    package var code: Int32
    package var description: String { "the command cannot be run: \(errorMessage(code))" }
  }

  package let processID: Int32
  private let hasOwnGroup: Bool
  private var known: Ending?

  /// Starts a command.
  ///
  /// - Parameters:
  ///   - input: the bytes on the command's standard input. The command need not read them.
  ///   - hasOwnGroup: whether the command becomes the head of a process group of its own. Such a group is killed as a
  ///     whole, and Ctrl-C on the terminal does not reach it.
  ///   - output: the descriptor that the command's standard output becomes.
  package init(
    _ text: String, input: [UInt8] = [], hasOwnGroup: Bool, output: Int32 = STDERR_FILENO
  ) throws(StartError) {
    // A file in memory rather than a pipe, so that nobody has to wait for a command that does not read its input.
    let file = cprocess_make_memory_file(input, input.count)
    guard file >= 0 else { throw StartError(code: -file) }
    defer { close(file) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // The signals that leaktrace reads from a descriptor are blocked in leaktrace. The command must not inherit that,
    // and neither that leaktrace ignores SIGPIPE.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var pipes = sigset_t()
    sigemptyset(&pipes)
    sigaddset(&pipes, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &pipes)
    posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (hasOwnGroup ? POSIX_SPAWN_SETPGROUP : 0)
    posix_spawnattr_setflags(&attributes, Int16(flags))
    defer { posix_spawnattr_destroy(&attributes) }
    let arguments = [strdup("sh"), strdup("-c"), strdup(text), nil]
    defer { for argument in arguments { free(argument) } }
    var started: pid_t = 0
    let error = posix_spawn(&started, "/bin/sh", &actions, &attributes, arguments, environ)
    guard error == 0 else { throw StartError(code: error) }
    processID = started
    self.hasOwnGroup = hasOwnGroup
  }

  deinit {
    guard ending == nil else { return }
    kill()
    waitForEnd()
  }

  /// How the command ended, or nil while it runs.
  package var ending: Ending? { reap(WNOHANG) }

  @discardableResult
  package func waitForEnd() -> Ending {
    while true {
      if let ending = reap(0) { return ending }
    }
  }

  private func reap(_ options: Int32) -> Ending? {
    if let known { return known }
    var status: Int32 = 0
    if waitpid(processID, &status, options) == processID { known = Ending(status) }
    return known
  }

  /// Kills the command at once, together with its process group if it has one of its own.
  package func kill() {
    if known == nil { _ = Glibc.kill(hasOwnGroup ? -processID : processID, SIGKILL) }
  }
}
