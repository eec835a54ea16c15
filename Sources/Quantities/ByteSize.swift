/// Sizes in bytes as people read and write them, in powers of 1024. The one formatter and the one parser of sizes.
package enum ByteSize {
  private static let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  /// `1.5 MiB`; nil below 1 KiB, where the exact number says it better.
  package static func rounded(_ bytes: UInt64) -> String? {
    guard bytes >= 1024 else { return nil }
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

  /// `1.5 MiB`, and `812 bytes` below 1 KiB.
  ///
  /// - Parameter unit: the word behind a number of bytes: `B` in tables.
  package static func text(_ bytes: UInt64, unit: String = "bytes") -> String { rounded(bytes) ?? "\(bytes) \(unit)" }

  /// `4,096 bytes (4.0 KiB)`, with one standard error when the number is an estimate.
  ///
  /// - Parameter isGrouped: whether there is a comma between each three digits; programs that read memleak's lines know none.
  package static func exact(_ bytes: UInt64, standardError: Double? = nil, isGrouped: Bool = true) -> String {
    var text = bytes == 1 ? "1 byte" : "\(isGrouped ? groupedNumber(bytes) : String(bytes)) bytes"
    if let standardError {
      let error = wholeNumber(standardError)
      text += " ± \(isGrouped ? UInt64(error).map { groupedNumber($0) } ?? error : error)"
    }
    if let rounded = rounded(bytes) { text += " (\(rounded))" }
    return text
  }

  /// `0.5 MiB`, whatever the size: for numbers that are compared in one sentence.
  package static func mebibytes(_ bytes: UInt64) -> String {
    let (whole, rest) = (bytes >> 20, bytes & 0xfffff)
    let tenths = whole * 10 + (rest * 10 + 1 << 19) >> 20
    return "\(tenths / 10).\(tenths % 10) MiB"
  }

  /// `9999`, `9.8K`, `123.4M`: at most seven characters, for the columns of a live table.
  package static func short(_ bytes: UInt64) -> String {
    if bytes < 10_000 { return "\(bytes)" }
    var value = Double(bytes) / 1024
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return "\((value * 10).rounded() / 10)\(units[unit].prefix(1))"
  }

  /// A whole number, alone or with `K`, `M` or `G` (powers of 1024) in either case; nil for anything else and for more than
  /// 64 bits hold.
  package static func parse(_ text: some StringProtocol) -> UInt64? {
    let factors: [Character: UInt64] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
    let factor = text.last.flatMap { factors[Character($0.lowercased())] }
    guard let number = UInt64(text.dropLast(factor == nil ? 0 : 1)) else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: factor ?? 1)
    return overflow ? nil : product
  }
}
