import AllocationTracing

/// A length of time on the command line: a number in the option's own unit, or with `ms`, `s`, `m`, `h` or `d`.
package enum TimeValue {
  package static func parse(_ text: String, plainUnit: Duration) throws(TraceError) -> Duration {
    let suffixes: [(String, Duration)] = [
      ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
      ("d", .seconds(86400)),
    ]
    let match = suffixes.first { text.hasSuffix($0.0) }
    let number = text.dropLast(match?.0.utf8.count ?? 0)
    guard let value = Double(number), value >= 0, value.isFinite, value < 1e9 else {
      throw TraceError("'\(text)' is no length of time: write 5, 500ms, 10s, 2m, 1h or 1d")
    }
    return (match?.1 ?? plainUnit) * value
  }
}
