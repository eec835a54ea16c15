import CProcessControl
import Glibc
import ReportFormats

/// How text is shown: in colours or without, and how much of stacks.
package struct DisplaySettings: Hashable, Sendable {
  /// As `--color` takes it.
  package enum Color: String, Hashable, Sendable, CaseIterable {
    case auto, always, never
  }
  package var color = Color.auto
  /// Whether frames of allocators, runtimes and standard libraries are shown, too.
  package var fullStacks = false

  /// What is assumed where there is no terminal.
  private static let usualWidth = 100

  package init() {}

  /// Sets what depends on where the text goes.
  ///
  /// - Parameter isStandardOutput: false for a file, which is never taken for a terminal.
  package func apply(to options: inout TextOptions, isStandardOutput: Bool) {
    let isTerminal = isStandardOutput && isatty(STDOUT_FILENO) == 1
    options.fullStacks = fullStacks
    options.isColored =
      switch color {
      case .always: true
      case .never: false
      case .auto: isTerminal && Self.allowsColor
      }
    options.width = isTerminal ? Self.terminalWidth : Self.usualWidth
  }

  /// NO_COLOR, if it is not empty, asks for none (no-color.org).
  private static var allowsColor: Bool {
    if let none = getenv("NO_COLOR"), none.pointee != 0 { return false }
    guard let terminal = getenv("TERM") else { return false }
    return String(cString: terminal) != "dumb"
  }

  private static var terminalWidth: Int {
    var columns: Int32 = 0
    var rows: Int32 = 0
    cterminal_size(STDOUT_FILENO, &columns, &rows)
    return Int(columns)
  }
}
