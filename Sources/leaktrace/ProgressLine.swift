import Glibc

/// Tells whoever sits at a terminal what a step that can take long is at: one line of standard error, written over again
/// and cleared before anything else is printed. Elsewhere nothing is written.
struct ProgressLine {
  private let isShown: Bool
  private var isDirty = false

  /// - Parameter isAllowed: false where something else draws on the terminal.
  init(isAllowed: Bool = true) {
    isShown = isAllowed && isatty(STDERR_FILENO) == 1
  }

  mutating func show(_ text: @autoclosure () -> String) {
    guard isShown else { return }
    isDirty = true
    writeAll("\r\u{1b}[Kleaktrace: \(text())", to: STDERR_FILENO)
  }

  mutating func clear() {
    guard isDirty else { return }
    isDirty = false
    writeAll("\r\u{1b}[K", to: STDERR_FILENO)
  }
}
