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
