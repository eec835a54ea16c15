import Quantities
import ReportAnalysis
import TraceModel

/// The words of a finding, the same in every format. Names in them are the target's: escape them.
extension Finding {
  /// `437.0 KiB/s`; nil where the run was too short for any.
  var rateWords: String? { rate.map { ByteRate(bytesPerSecond: $0.bytesPerSecond).text(per: Self.unit(of: $0)) } }

  /// `419.0 KiB/s to 445.0 KiB/s`; `?` for an end that nothing bounds.
  var intervalWords: String? {
    rate.map { rate in
      let ends = [rate.lower, rate.upper].map { ByteRate(bytesPerSecond: $0).text(per: Self.unit(of: rate)) }
      return ends.joined(separator: " to ")
    }
  }

  private static func unit(of rate: GrowthRate) -> ByteRate.Unit {
    ByteRate.Unit(for: ByteRate(bytesPerSecond: rate.bytesPerSecond))
  }

  /// The function, else module and offset, else the address.
  var functionWords: String { frame.plainName }

  /// `svc.cpp:13`, or the object file where no line is known; empty where nothing is.
  var placeWords: String {
    guard let file = place.file?.split(separator: "/").last else { return place.module ?? "" }
    return String(file) + (place.line.map { ":\($0)" } ?? "")
  }

  /// `5 stacks`; empty for one.
  var stackWords: String { sites.count > 1 ? "\(sites.count) stacks" : "" }

  /// What the leak check says of it, or who holds it, or how it grows.
  var kindWords: String {
    if doubt != nil { return "doubtful" }
    guard kind == .growing else { return kind.rawValue }
    if let holder = holders.first { return "held by " + holder.text }
    return (verdicts[.stillReachable]?.count ?? 0) > 0 ? "reachable, growing" : kind.rawValue
  }

  /// `53 %`; nil where it does not count as growth.
  var shareWords: String? { shareOfGrowth.map { percentText($0, decimals: 0).replacing(".0 %", with: " %") } }
}
