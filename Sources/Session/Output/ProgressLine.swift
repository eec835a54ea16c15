import Glibc

/// Tells the user at a terminal what a step that may take long is doing. It is one line of standard error, which is
/// overwritten each time and cleared before anything else is printed. Nothing is written if standard error is not a
/// terminal.
package struct ProgressLine {
  private let isShown: Bool
  private var isDirty = false

  /// - Parameter isAllowed: false if something else draws on the terminal.
  package init(isAllowed: Bool = true) {
    isShown = isAllowed && isatty(STDERR_FILENO) == 1
  }

  package mutating func show(_ text: @autoclosure () -> String) {
    guard isShown else { return }
    isDirty = true
    writeAll("\r\u{1b}[Kleaktrace: \(text())", to: STDERR_FILENO)
  }

  package mutating func clear() {
    guard isDirty else { return }
    isDirty = false
    writeAll("\r\u{1b}[K", to: STDERR_FILENO)
  }
}
