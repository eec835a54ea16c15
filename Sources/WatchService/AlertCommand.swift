import Glibc
import Session
import SystemSupport

/// Runs the command of `on-alert`, without waiting for it: it gets the alert on its standard input and is killed when it
/// takes too long. At most a few run at once.
final class AlertCommand {
  private var running: [(processID: pid_t, end: ContinuousClock.Instant)] = []
  /// Those that wait because others run.
  private var waiting: [(command: String, alert: [UInt8])] = []
  private static let most = 4
  private static let mostWaiting = 100
  private static let patience = Duration.seconds(30)

  /// Runs the command now, or when an earlier one has ended. Returns why that is not possible; nil when it is.
  func run(_ command: String, _ alert: [UInt8]) -> String? {
    reap()
    if running.count < Self.most { return start(command, alert) }
    guard waiting.count < Self.mostWaiting else { return "\(Self.mostWaiting) alerts wait for their command already" }
    waiting.append((command, alert))
    return nil
  }

  private func start(_ command: String, _ alert: [UInt8]) -> String? {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return errorMessage(errno) }
    let input = ends[0]
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(input) }
    // An alert is far smaller than a pipe's buffer: a command that does not read it holds nobody up.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    let written = write(ends[1], alert, alert.count)
    close(ends[1])
    guard written == alert.count else { return "the alert does not fit into a pipe" }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // Signals that leaktrace reads from a descriptor are blocked here, and must not be there. Its own group ends as a whole.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    defer { posix_spawnattr_destroy(&attributes) }
    var processID: pid_t = 0
    let arguments = [strdup("sh"), strdup("-c"), strdup(command), nil]
    defer { for argument in arguments { free(argument) } }
    let error = posix_spawn(&processID, "/bin/sh", &actions, &attributes, arguments, environ)
    guard error == 0 else { return errorMessage(error) }
    running.append((processID, .now + Self.patience))
    return nil
  }

  /// Takes note of commands that have ended, and ends those that take too long.
  func reap() {
    running.removeAll { command in
      var status: Int32 = 0
      if command.end <= .now { kill(-command.processID, SIGKILL) }
      return waitpid(command.processID, &status, WNOHANG) != 0
    }
    while running.count < Self.most, !waiting.isEmpty {
      let next = waiting.removeFirst()
      if let failure = start(next.command, next.alert) { complain("on-alert: \(failure)") }
    }
  }

  func stop() {
    for command in running {
      kill(-command.processID, SIGKILL)
      var status: Int32 = 0
      waitpid(command.processID, &status, 0)
    }
    running = []
    waiting = []
  }
}
