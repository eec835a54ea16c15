import SystemSupport
import TraceModel

/// Why a suppressions file cannot be used.
package struct SuppressionError: UserFacingError, Hashable {
  package var file: String
  package var line: Int
  package var reason: String

  package var description: String { "\(file):\(line): \(reason)" }
}

/// Reads suppressions: lines `leak:TEMPLATE` as LeakSanitizer has them, and entries `{ … }` as Valgrind has them. One
/// file may have both. Entries for other tools or other errors than leaks are passed over.
struct SuppressionParser {
  private let file: String
  private var lines: [(number: Int, text: Substring)] = []
  private var next = 0

  init(_ text: String, file: String) {
    self.file = file
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let trimmed = line.trimmed
      if !trimmed.isEmpty, trimmed.first != "#" { lines.append((index + 1, trimmed)) }
    }
  }

  mutating func parse() throws(SuppressionError) -> [Suppression] {
    var result: [Suppression] = []
    while next < lines.count {
      let (number, text) = lines[next]
      next += 1
      if text == "{" {
        if let entry = try entry(from: number) { result.append(entry) }
      } else if text.hasPrefix("leak:") {
        let template = text.dropFirst(5)
        guard !template.isEmpty else { throw error(number, "leak: names nothing") }
        result.append(Suppression(name: String(template), rule: .template(NameTemplate(template))))
      } else {
        throw error(number, "'\(text)' is neither leak:TEMPLATE nor the { of a Valgrind entry")
      }
    }
    return result
  }

  // MARK: Valgrind's entries

  private mutating func line(in start: Int) throws(SuppressionError) -> (number: Int, text: Substring) {
    guard next < lines.count else { throw error(start, "this entry has no }") }
    next += 1
    return lines[next - 1]
  }

  /// nil for an entry that is about something else than leaks.
  private mutating func entry(from start: Int) throws(SuppressionError) -> Suppression? {
    let name = try line(in: start)
    if name.text == "}" { throw error(name.number, "an entry begins with its name") }
    let kind = try line(in: start)
    guard let colon = kind.text.firstIndex(of: ":"), !kind.text.contains(" ") else {
      throw error(kind.number, "'\(kind.text)' is no TOOL:KIND, as in Memcheck:Leak")
    }
    let tools = kind.text[..<colon].split(separator: ",").map { $0.lowercased() }
    guard tools.contains("memcheck"), kind.text[colon...].dropFirst() == "Leak" else {
      while try line(in: start).text != "}" {}
      return nil
    }
    var kinds = Set(VerdictKind.checked)
    var patterns: [Suppression.FramePattern] = []
    while true {
      let (number, text) = try line(in: start)
      if text == "}" { break }
      if text.hasPrefix("match-leak-kinds:") {
        guard patterns.isEmpty else { throw error(number, "match-leak-kinds: stands before the frames") }
        kinds = try self.kinds(text.dropFirst(17).trimmed, number)
      } else {
        patterns.append(try pattern(text, number))
      }
    }
    guard patterns.contains(where: { $0 != .ellipsis }) else {
      throw error(start, "the entry '\(name.text)' names no frame")
    }
    return Suppression(name: String(name.text), rule: .stack(patterns, kinds: kinds))
  }

  private func kinds(_ text: Substring, _ number: Int) throws(SuppressionError) -> Set<VerdictKind> {
    do { return try VerdictKind.parse(list: text) } catch {
      throw self.error(number, "'\(error.name)' is none of \(VerdictKind.listNames.joined(separator: ", "))")
    }
  }

  private func pattern(_ text: Substring, _ number: Int) throws(SuppressionError) -> Suppression.FramePattern {
    if text == "..." { return .ellipsis }
    let prefix = text.prefix(4)
    let rest = text.dropFirst(4)
    guard !rest.isEmpty else { throw error(number, "'\(text)' names nothing") }
    switch prefix {
    case "fun:": return .function(WildcardPattern(rest))
    case "obj:": return .object(WildcardPattern(rest))
    case "src:":
      guard let colon = rest.lastIndex(of: ":"), let line = Int(rest[colon...].dropFirst()) else {
        return .source(WildcardPattern(rest), line: nil)
      }
      return .source(WildcardPattern(rest[..<colon]), line: line)
    default: throw error(number, "'\(text)' is none of fun:, obj:, src: and ...")
    }
  }

  private func error(_ line: Int, _ reason: String) -> SuppressionError {
    SuppressionError(file: file, line: line, reason: reason)
  }
}

extension Substring {
  /// Without blanks at its ends.
  fileprivate var trimmed: Substring {
    var text = drop { $0 == " " || $0 == "\t" }
    while let last = text.last, last == " " || last == "\t" || last == "\r" { text.removeLast() }
    return text
  }
}
