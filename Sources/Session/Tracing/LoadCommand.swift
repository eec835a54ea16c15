import AllocationTracing
import Glibc
import SystemSupport

/// A command that puts a traced process under load, in a process group of its own.
final class LoadCommand {
  private let processID: pid_t
  /// As waitpid gives it; nil while it runs.
  private(set) var status: Int32?

  /// Starts a command by the shell. What it prints goes to standard error: standard output is for results.
  init(_ command: String) throws(TraceError) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // Signals that leaktrace reads from a descriptor are blocked here, and must not be there.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    defer { posix_spawnattr_destroy(&attributes) }
    let arguments = [strdup("sh"), strdup("-c"), strdup(command), nil]
    defer { for argument in arguments { free(argument) } }
    var started: pid_t = 0
    let error = posix_spawn(&started, "/bin/sh", &actions, &attributes, arguments, environ)
    guard error == 0 else { throw TraceError("--load: the command cannot be run: \(errorMessage(error))") }
    processID = started
  }

  deinit {
    guard !hasEnded() else { return }
    kill(-processID, SIGKILL)
    var ignored: Int32 = 0
    while waitpid(processID, &ignored, 0) < 0, errno == EINTR {}
  }

  func hasEnded() -> Bool {
    guard status == nil else { return true }
    var status: Int32 = 0
    if waitpid(processID, &status, WNOHANG) == processID { self.status = status }
    return self.status != nil
  }

  /// nil for success.
  var failure: String? {
    guard let status, status != 0 else { return nil }
    return status & 0x7f == 0 ? "status \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
  }
}
