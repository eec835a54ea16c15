import Glibc
import Scheduling

extension EventLoop {
  /// The loop for a command that makes its last report, and ends, when it gets a signal.
  convenience init(isLive: Bool) {
    self.init(signals: [SIGINT, SIGTERM, SIGHUP] + (isLive ? [SIGWINCH] : []))
  }

  /// Adds steps for the input of the user: the keys of a live view, and signals.
  ///
  /// - Parameter finish: ends the command. It is given the number of the signal, or 0 if there was none.
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
