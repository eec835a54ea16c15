import Glibc
import SystemSupport

/// A failed attempt to read something about a process.
package struct ProcessError: UserFacingError, Equatable {
  /// The system call that failed, for example `open`.
  package let operation: String
  package let path: String
  /// The value of `errno`.
  package let code: Int32

  package init(operation: String, path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// Whether the process has ended or never existed, as opposed to one that we may not look at.
  package var isProcessGone: Bool { code == ESRCH || code == ENOENT }

  package var description: String { "\(path): \(operation): \(errorMessage(code))" }
}
