import Scheduling

/// Runs the command of `on-alert` for each alert, without waiting for it. A command that takes too long is killed. Only
/// a few commands run at the same time; further ones wait, and are started in their order.
package final class AlertQueue {
  private struct Running {
    var command: ShellCommand
    var end: HostClock.Instant
  }

  private let clock: any HostClock
  private var running: [Running] = []
  private var waiting: [(command: String, alert: [UInt8])] = []
  package static let most = 4
  package static let mostWaiting = 100
  package static let patience = Duration.seconds(30)

  package init(clock: any HostClock) { self.clock = clock }

  /// Runs the command now, or as soon as there is room for it. Returns what went wrong, with this command or with one
  /// that had waited.
  package func run(_ command: String, _ alert: [UInt8]) -> [String] {
    var failures = reap()
    guard waiting.count < Self.mostWaiting else {
      return failures + ["\(Self.mostWaiting) alerts wait for their command already"]
    }
    waiting.append((command, alert))
    failures += reap()
    return failures
  }

  /// Notes which commands have ended, kills those that take too long, and starts waiting ones in their place. Returns
  /// why commands could not be started.
  package func reap() -> [String] {
    running.removeAll { running in
      if running.end <= clock.now { running.command.kill() }
      return running.command.ending != nil
    }
    var failures: [String] = []
    while running.count < Self.most, !waiting.isEmpty {
      let next = waiting.removeFirst()
      do {
        let command = try ShellCommand(next.command, input: next.alert, hasOwnGroup: true)
        running.append(Running(command: command, end: clock.now + Self.patience))
      } catch { failures.append("\(error)") }
    }
    return failures
  }

  /// Kills the commands that run, and drops those that wait.
  package func stop() {
    running = []
    waiting = []
  }

  package var runningCount: Int { running.count }
  package var waitingCount: Int { waiting.count }
}
