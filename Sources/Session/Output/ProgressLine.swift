import Glibc

/// Tells whoever sits at a terminal what a step that can take long is at: one line of standard error, written over again
/// and cleared before anything else is printed. Elsewhere nothing is written.
package struct ProgressLine {
  private let isShown: Bool
  private var isDirty = false

  /// - Parameter isAllowed: false where something else draws on the terminal.
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
