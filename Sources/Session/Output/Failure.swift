import Glibc

/// The exit codes with which any command tells that it did not simply do what was asked.
package enum Failure {
  package static let leakFound: Int32 = 1
  package static let usageOrEnvironment: Int32 = 2
  /// The data do not support an answer: a comparison that cannot be made, a leak check that did not take place.
  package static let cannotTell: Int32 = 3
  package static let interrupted: Int32 = 130

  /// The exit code of a command that a signal has ended early.
  package static func ended(by signal: Int32) -> Int32 { signal == SIGINT ? interrupted : 128 + signal }
}
