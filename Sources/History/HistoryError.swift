import SystemSupport

/// What SQLite refused, and why.
package struct HistoryError: UserFacingError, Hashable {
  package var operation: String
  /// SQLite's result code.
  package var code: Int32
  package var message: String

  package var description: String { "\(operation): \(message)" }

  /// Whether the disk is full: SQLite says SQLITE_FULL, or passes on what the file system says.
  package var isDiskFull: Bool { code & 0xff == 13 || code & 0xff == 10 && message.contains("disk") }
}
