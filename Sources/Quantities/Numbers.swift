/// A non-negative number rounded to an integer; `?` when it is none.
package func wholeNumber(_ value: Double) -> String {
  guard value.isFinite, value >= 0, value < 1.8e19 else { return "?" }
  return String(UInt64(value.rounded()))
}

/// The same with separators.
package func groupedWholeNumber(_ value: Double) -> String {
  guard value.isFinite, value >= 0, value < 1.8e19 else { return "?" }
  return groupedNumber(UInt64(value.rounded()))
}

/// With a comma between each three digits: `1,048,576`. The one formatter of counts for people.
package func groupedNumber(_ value: some BinaryInteger) -> String {
  let digits = Array(String(value).utf8)
  let sign = digits.first == UInt8(ascii: "-") ? 1 : 0
  guard digits.count - sign > 3 else { return String(value) }
  var text: [UInt8] = []
  for (index, digit) in digits.enumerated() {
    if index > sign, (digits.count - index) % 3 == 0 { text.append(UInt8(ascii: ",")) }
    text.append(digit)
  }
  return String(decoding: text, as: UTF8.self)
}

/// `1 block`, `1,024 blocks`.
package func counted(_ count: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
  count == 1 ? "1 \(one)" : "\(groupedNumber(count)) \(many ?? one + "s")"
}

/// Three digits that count; `?` when it is no number.
package func shortNumber(_ value: Double) -> String {
  guard value.isFinite else { return "?" }
  let magnitude = value.magnitude
  if magnitude >= 100 || magnitude == 0 { return magnitude < 9e18 ? groupedNumber(Int64(value.rounded())) : "\(value)" }
  let factor = magnitude >= 10 ? 10.0 : magnitude >= 1 ? 100.0 : 1000.0
  let rounded = (value * factor).rounded() / factor
  return rounded == rounded.rounded() ? String(Int64(rounded)) : "\(rounded)"
}

/// A share of one as `12.3 %`, with up to so many decimals.
package func percentText(_ share: Double, decimals: Int) -> String {
  var factor = 1.0
  for _ in 0..<decimals { factor *= 10 }
  let value = (share * 100 * factor).rounded() / factor
  if decimals == 0 || value.magnitude >= 1000, value.magnitude < 9e18 {
    return groupedNumber(Int64(value.rounded())) + " %"
  }
  return "\(value) %"
}
