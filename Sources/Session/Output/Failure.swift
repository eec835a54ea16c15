import Glibc

/// Exit codes of every command that has not simply done what it was asked for.
package enum Failure {
  package static let leakFound: Int32 = 1
  package static let usageOrEnvironment: Int32 = 2
  package static let interrupted: Int32 = 130

  /// The exit code of a command that a signal has ended early.
  package static func ended(by signal: Int32) -> Int32 { signal == SIGINT ? interrupted : 128 + signal }
}
