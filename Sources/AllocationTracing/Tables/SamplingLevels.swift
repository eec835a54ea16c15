import CTraceABI
import Glibc

/// Which blocks are recorded, at each level of sampling. Level 0 is what the configuration says; the others came when the table
/// of blocks was filling. See decision 2.
package struct SamplingLevels: Equatable, Sendable {
  enum Unit {
    /// Poisson sampling: a level's value is the mean number of bytes between samples, 0 for every block.
    case bytes
    /// A level's value is how many blocks there are to one that is recorded.
    case blocks
  }

  let unit: Unit
  /// One value for each level so far.
  private(set) var values: [UInt64]

  package init(_ configuration: TraceConfiguration) {
    if let nth = configuration.sampleEveryNth, nth > 1 {
      unit = .blocks
      values = [UInt64(nth)]
    } else {
      unit = .bytes
      values = [configuration.sampleMeanInBytes ?? 0]
    }
  }

  var current: Int { values.count - 1 }
  package var isSampling: Bool { values.contains { $0 > 0 } }
  /// Whether blocks were taken out because there was no room for all.
  package var isThinned: Bool { values.count > 1 }
  var canRise: Bool { values.count < Int(LT_MAX_LEVELS) }

  /// - Parameter value: at least the double of the present one.
  mutating func rise(to value: UInt64) { values.append(value) }

  /// How likely a block of this size is recorded at a level.
  func probability(ofSize size: UInt64, level: Int) -> Double {
    let value = level < values.count ? values[level] : 0
    switch unit {
    case .blocks: return 1 / Double(max(1, value))
    case .bytes: return value == 0 ? 1 : Self.probability(ofSize: size, mean: Double(value))
    }
  }

  static func probability(ofSize size: UInt64, mean: Double) -> Double { -expm1(-Double(max(1, size)) / mean) }

  /// How many blocks a recorded one stands for. One of no bytes stands for itself when bytes are sampled.
  func weight(ofSize size: UInt64, level: Int) -> Double {
    size == 0 && unit == .bytes ? 1 : 1 / probability(ofSize: size, level: level)
  }
}
