/// How fast memory grows, as people read it. The one formatter of rates.
package struct ByteRate: Hashable, Sendable {
  package var bytesPerSecond: Double

  package init(bytesPerSecond: Double) { self.bytesPerSecond = bytesPerSecond }

  package enum Unit: Hashable, Sendable {
    case second, hour

    /// The one in which a rate is a number that can be read. An interval is shown in the unit of its middle.
    package init(for rate: ByteRate) { self = abs(rate.bytesPerSecond) < 100 ? .hour : .second }

    fileprivate var seconds: Double { self == .hour ? 3600 : 1 }
    fileprivate var suffix: String { self == .hour ? "/h" : "/s" }
  }

  /// `1.5 MiB/h`, `-812 bytes/s`; `?` for what has no bound.
  package func text(per unit: Unit) -> String {
    amount(per: unit).map { sign(of: $0) + ByteSize.text(Self.magnitude($0)) + unit.suffix } ?? "?"
  }

  /// `1.5 MiB/s = 5.3 GiB/h`: what a program does in a second and what becomes of it.
  package var secondsAndHours: String { "\(text(per: .second)) = \(text(per: .hour))" }

  /// `1.4 to 1.6 MiB/s`, or with the units of both where they differ; `?` for what has no bound.
  package static func interval(_ lower: Double, _ upper: Double, per unit: Unit) -> String {
    let texts = [lower, upper].map { ByteRate(bytesPerSecond: $0).text(per: unit) }
    let parts = texts.map { $0.split(separator: " ", maxSplits: 1) }
    if parts[0].count == 2, parts[1].count == 2, parts[0][1] == parts[1][1] {
      return "\(parts[0][0]) to \(texts[1])"
    }
    return "\(texts[0]) to \(texts[1])"
  }

  /// `419–445`: an interval in the unit in which a rate is shown, for a column beside it; `?` for what has no bound.
  ///
  /// - Parameter rate: bytes per second.
  package static func compactInterval(_ lower: Double, _ upper: Double, beside rate: Double, per unit: Unit) -> String {
    var factor = 1.0
    while abs(rate) * unit.seconds / factor >= 1024, factor < 1e18 { factor *= 1024 }
    let ends = [lower, upper].map { end -> String in
      let value = end * unit.seconds / factor
      guard value.isFinite, abs(value) < 1e9 else { return "?" }
      if abs(value) >= 100 || factor == 1 { return groupedNumber(Int64(value.rounded())) }
      let tenths = Int64((abs(value) * 10).rounded())
      return "\(value < 0 && tenths > 0 ? "-" : "")\(tenths / 10).\(tenths % 10)"
    }
    return ends[0] + "–" + ends[1]
  }

  /// `+1.5 MiB`, `-812 B`: the same for a column whose title names the unit.
  package func cell(per unit: Unit) -> String {
    amount(per: unit).map { ($0 < 0 ? "-" : "+") + ByteSize.text(Self.magnitude($0), unit: "B") } ?? "?"
  }

  /// nil where nobody would believe the number.
  private func amount(per unit: Unit) -> Double? {
    let amount = bytesPerSecond * unit.seconds
    return amount.isFinite && abs(amount) < 1e18 ? amount : nil
  }

  private static func magnitude(_ amount: Double) -> UInt64 { UInt64(abs(amount).rounded()) }

  private func sign(of amount: Double) -> String { amount < 0 && Self.magnitude(amount) > 0 ? "-" : "" }
}
