/// A non-negative number rounded to an integer; `?` when it is none.
package func wholeNumber(_ value: Double) -> String {
  guard value.isFinite, value >= 0, value < 1.8e19 else { return "?" }
  return String(UInt64(value.rounded()))
}

/// Three digits that count; `?` when it is no number.
package func shortNumber(_ value: Double) -> String {
  guard value.isFinite else { return "?" }
  let magnitude = value.magnitude
  if magnitude >= 100 || magnitude == 0 { return magnitude < 9e18 ? String(Int64(value.rounded())) : "\(value)" }
  let factor = magnitude >= 10 ? 10.0 : magnitude >= 1 ? 100.0 : 1000.0
  let rounded = (value * factor).rounded() / factor
  return rounded == rounded.rounded() ? String(Int64(rounded)) : "\(rounded)"
}

/// A share of one as `12.3 %`, with up to so many decimals.
package func percentText(_ share: Double, decimals: Int) -> String {
  var factor = 1.0
  for _ in 0..<decimals { factor *= 10 }
  return "\((share * 100 * factor).rounded() / factor) %"
}
