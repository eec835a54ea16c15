import TextOutput

/// The configuration file of a watch: one `key = value` a line, `#` before a remark. Every line that is wrong is told.
package enum WatchConfigurationFile {
  package struct Mistake: Hashable, Sendable, CustomStringConvertible {
    package var line: Int
    package var text: String
    package var description: String { "line \(line): \(escapedForTerminal(text))" }
  }

  /// Applies the text to a configuration. Where anything is wrong nothing of it is to be used.
  package static func apply(_ text: String, to configuration: inout WatchConfiguration) -> [Mistake] {
    var mistakes: [Mistake] = []
    var seen: [String: Int] = [:]
    var result = configuration
    for (place, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = trimmed(line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0])
      if content.isEmpty { continue }
      let number = place + 1
      let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        mistakes.append(Mistake(line: number, text: "'\(shown(content))' is no 'key = value'"))
        continue
      }
      let name = trimmed(parts[0])
      guard let option = WatchOption.named(name) else {
        mistakes.append(
          Mistake(
            line: number,
            text: "there is no key '\(shown(name))': \(WatchOption.all.map(\.name).sorted().joined(separator: ", "))"
          )
        )
        continue
      }
      if let earlier = seen[name], !option.isRepeatable {
        mistakes.append(Mistake(line: number, text: "\(name) is given again, first in line \(earlier)"))
        continue
      }
      if seen[name] == nil { option.clear?(&result) }
      seen[name] = number
      if let wrong = option.set(&result, unquoted(trimmed(parts[1]))) {
        mistakes.append(Mistake(line: number, text: "\(name): \(wrong)"))
      }
    }
    if mistakes.isEmpty { configuration = result }
    return mistakes
  }

  /// Sets one key; where several values are allowed it adds one. Returns what is wrong.
  package static func apply(key name: String, value: String, to configuration: inout WatchConfiguration) -> [String] {
    guard let option = WatchOption.named(name) else { return ["there is no key '\(name)'"] }
    return option.set(&configuration, value).map { ["\(name): \($0)"] } ?? []
  }

  /// As much of a line as fits into a message: the file may be anything but a configuration.
  private static func shown(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(60).map { isUnsafe($0) ? "?" : $0 }))
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    var text = Substring(text)
    while let last = text.last, last == " " || last == "\t" || last == "\r" { text = text.dropLast() }
    return String(text.drop { $0 == " " || $0 == "\t" })
  }

  private static func unquoted(_ text: String) -> String {
    text.count >= 2 && text.first == "\"" && text.last == "\"" ? String(text.dropFirst().dropLast()) : text
  }
}

/// `127.0.0.1:9777`, `[::1]:9777`.
package struct ListenAddress: Hashable, Sendable {
  package var host: String
  package var port: Int

  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65535).contains(port)
    else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
    } else if host.contains(":") {
      return nil
    }
    if host.isEmpty { return nil }
    self.host = host
    self.port = port
  }
}
