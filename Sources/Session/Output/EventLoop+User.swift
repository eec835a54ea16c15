import Glibc
import Scheduling

extension EventLoop {
  /// The loop of a command that ends at a signal with its last report.
  convenience init(isLive: Bool) {
    self.init(signals: [SIGINT, SIGTERM, SIGHUP] + (isLive ? [SIGWINCH] : []))
  }

  /// Steps for what the user wants: the keys of a live view, and signals.
  ///
  /// - Parameter finish: ends the command; for a signal with its number, else with 0.
  func onUser(_ live: LiveTerminal?, finish: @escaping (Int32) throws -> Void) {
    if let live {
      onReadable(STDIN_FILENO) {
        if live.handleKeys() { try finish(0) }
      }
    }
    onSignal { signal in
      if signal == SIGWINCH { live?.draw() } else { try finish(signal) }
    }
  }
}
