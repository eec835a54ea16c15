import Glibc
import SystemSupport

/// A failed look into a process.
package struct ProcessError: UserFacingError, Equatable {
  /// The system call, for example `open`.
  package let operation: String
  package let path: String
  /// `errno`.
  package let code: Int32

  package init(operation: String, path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// Whether the process has ended or never was (as opposed to being out of reach).
  package var isProcessGone: Bool { code == ESRCH || code == ENOENT }

  package var description: String { "\(path): \(operation): \(errorMessage(code))" }
}
