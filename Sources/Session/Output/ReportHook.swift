import AllocationTracing
import Glibc
import ReportFormats
import SystemSupport
import TraceModel

/// Runs the command of `--on-report` with a report.
enum ReportHook {
  /// Gives the report as JSON to the command's standard input and waits for the command. What it makes of it is its own
  /// affair: a command that fails or does not read is told of on standard error, and the trace goes on.
  static func run(_ command: String, _ report: Report) throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw TraceError("--on-report: no pipe: \(errorMessage(errno))")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    // A report must not be mixed with what the command prints.
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // Signals that leaktrace reads from a descriptor are blocked here, and must not be there.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    defer { posix_spawnattr_destroy(&attributes) }
    var processID: pid_t = 0
    let arguments = [strdup("sh"), strdup("-c"), strdup(command), nil]
    defer { for argument in arguments { free(argument) } }
    let error = posix_spawn(&processID, "/bin/sh", &actions, &attributes, arguments, environ)
    close(ends[0])
    guard error == 0 else {
      close(ends[1])
      complain("--on-report: the command cannot be run: \(errorMessage(error))")
      return
    }
    let previous = signal(SIGPIPE, SIG_IGN)
    let text = String(decoding: JSONReport.render(report), as: UTF8.self)
    writeAll(text, to: ends[1])
    close(ends[1])
    signal(SIGPIPE, previous)
    var status: Int32 = 0
    while waitpid(processID, &status, 0) < 0, errno == EINTR {}
    if status != 0 {
      let code = status & 0x7f == 0 ? "status \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
      complain("--on-report: the command ended with \(code)")
    }
  }
}
