/// Lengths of time as people read and write them. The one formatter and the one parser of durations.
extension Duration {
  /// `0.12 s`, `12.3 s`, `5 m 03 s`, `2 h 05 m`, `3 d 04 h`.
  package var text: String {
    let (seconds, attoseconds) = parts
    guard seconds >= 0, attoseconds >= 0 else { return "0 s" }
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    switch seconds {
    case 0..<10:
      return "\(seconds).\(two(attoseconds / 10_000_000_000_000_000)) s"
    case 10..<60: return "\(seconds).\(attoseconds / 100_000_000_000_000_000) s"
    case 60..<3600: return "\(seconds / 60) m \(two(seconds % 60)) s"
    case 3600..<86400: return "\(seconds / 3600) h \(two(seconds / 60 % 60)) m"
    default: return "\(seconds / 86400) d \(two(seconds / 3600 % 24)) h"
    }
  }

  /// `59s`, `5m3s`, `2h5m`, `3d4h`: for the columns of a live table.
  package var shortText: String {
    let seconds = max(0, parts.seconds)
    switch seconds {
    case 0..<60: return "\(seconds)s"
    case 60..<3600: return "\(seconds / 60)m\(seconds % 60)s"
    case 3600..<86400: return "\(seconds / 3600)h\(seconds / 60 % 60)m"
    default: return "\(seconds / 86400)d\(seconds / 3600 % 24)h"
    }
  }

  /// Seconds as a decimal number, exact to the nanosecond, without needless zeros.
  package var decimalSeconds: String {
    let (seconds, attoseconds) = parts
    let isNegative = seconds < 0 || attoseconds < 0
    let nanoseconds = attoseconds.magnitude / 1_000_000_000
    var text = (isNegative ? "-" : "") + String(seconds.magnitude)
    if nanoseconds != 0 {
      var digits = String(nanoseconds)
      digits = String(repeating: "0", count: 9 - digits.count) + digits
      while digits.last == "0" { digits.removeLast() }
      text += "." + digits
    }
    return text
  }

  /// How long something takes that is only foretold: `years` and `> 1 year` where more would promise too much.
  ///
  /// - Parameter seconds: may be infinite.
  package static func forecastText(seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "years" }
    return seconds > 365 * 86400 ? "> 1 year" : Duration.seconds(seconds).text
  }

  /// A number that is not negative, in `plainUnit` or with `ms`, `s`, `m`, `h` or `d` behind it; nil for anything else.
  package init?(parsing text: some StringProtocol, plainUnit: Duration = .seconds(1)) {
    let suffixes: [(String, Duration)] = [
      ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
      ("d", .seconds(86400)),
    ]
    let match = suffixes.first { text.hasSuffix($0.0) }
    guard let value = Double(text.dropLast(match?.0.utf8.count ?? 0)), value >= 0, value < 1e9 else { return nil }
    self = (match?.1 ?? plainUnit) * value
  }
}
