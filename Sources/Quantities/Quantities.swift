/// A size for people: `1.5 MiB`; nil below 1 KiB, where the exact number says it better.
package func humanBytes(_ bytes: UInt64) -> String? {
  guard bytes >= 1024 else { return nil }
  let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
  // Tenths, rounded half up; the unit grows when they reach 1024.
  for (index, unit) in units.enumerated() {
    let shift = UInt64(10 * (index + 1))
    let whole = bytes >> shift
    let rest = bytes & ((1 << shift) - 1)
    // rest * 10 fits: rest < 2^60.
    let tenths = whole * 10 + (rest * 10 + (1 << (shift - 1))) >> shift
    if tenths < 10240 || index == units.count - 1 { return "\(tenths / 10).\(tenths % 10) \(unit)" }
  }
  return nil
}

/// `4096 bytes (4.0 KiB)`, with one standard error when the number is an estimate.
package func exactBytes(_ bytes: UInt64, standardError: Double? = nil) -> String {
  var text = "\(bytes) bytes"
  if let standardError { text += " ± \(wholeNumber(standardError))" }
  if let human = humanBytes(bytes) { text += " (\(human))" }
  return text
}

/// A non-negative number rounded to an integer; `?` when it is none.
package func wholeNumber(_ value: Double) -> String {
  guard value.isFinite, value >= 0, value < 1.8e19 else { return "?" }
  return String(UInt64(value.rounded()))
}

/// `0.12 s`, `12.3 s`, `5 m 03 s`, `2 h 05 m`, `3 d 04 h`.
package func humanDuration(_ duration: Duration) -> String {
  let (seconds, attoseconds) = duration.components
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

/// A duration in whole milliseconds, as memleak shows ages.
package func milliseconds(_ duration: Duration) -> Int64 {
  let (seconds, attoseconds) = duration.components
  let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
  return overflow ? seconds : product + attoseconds / 1_000_000_000_000_000
}

/// A duration in seconds as a decimal number, exact to the nanosecond, without needless zeros.
package func decimalSeconds(_ duration: Duration) -> String {
  let (seconds, attoseconds) = duration.components
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
