import TextOutput

/// What is the same in every page.
enum HTMLPage {
  /// Everything until the body is open. Without a network, whatever a page contains.
  ///
  /// - Parameters:
  ///   - title: with what is special in markup escaped.
  ///   - isScripted: whether the page has a script of its own.
  static func begin(title: String, isScripted: Bool, to output: inout ByteWriter) {
    output.line("<!DOCTYPE html>")
    output.line("<html lang=\"en\"><head><meta charset=\"utf-8\">")
    output.line("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
    output.line(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'"
        + (isScripted ? "; script-src 'unsafe-inline'" : "") + "\">")
    output.line("<title>\(title)</title>")
    output.line("<style>\(PageStyle.source)</style></head><body>")
  }
}
