import Accounting
import BPFRuntime
import CTraceABI
import ProcessImage

/// Makes room in the table of blocks before it is full: fewer blocks are recorded from then on, and of those in the table as
/// many are taken out as would not have been recorded. What remains is a sample whose weights are right whenever a block was
/// born, so totals stay unbiased. See decision 2.
struct TableThinning {
  /// So many blocks are kept one by one.
  let capacity: Int
  /// When the table was first thinned (CLOCK_MONOTONIC nanoseconds); nil while nothing was taken out.
  private(set) var beginTime: UInt64?
  /// How many blocks had been refused when it was last thinned.
  private var refused: UInt64 = 0
  private var weights = lt_configuration()
  private var random: SplitMix64

  init(capacity: Int, seed: UInt64 = .random(in: 0...UInt64.max)) {
    self.capacity = capacity
    random = SplitMix64(state: seed)
    weights.fillSamplingTables()
  }

  /// Blocks in the table by size, for the choice of the next level.
  private struct Histogram {
    /// Four steps for each power of two.
    private var counts = [Double](repeating: 0, count: 64 * 4)

    mutating func add(size: UInt64, _ weight: Double) {
      let exponent = 63 - max(1, size).leadingZeroBitCount
      let quarter = exponent < 2 ? 0 : Int(size >> UInt64(exponent - 2) & 3)
      counts[4 * exponent + quarter] += weight
    }

    /// How many blocks would be recorded with a mean of so many bytes between samples.
    func expected(mean: Double) -> Double {
      counts.indices.reduce(0) { sum, index in
        guard counts[index] > 0 else { return sum }
        let size = Double(UInt64(1) << UInt64(index / 4)) * (1.125 + Double(index % 4) / 4)
        return sum + counts[index] * SamplingLevels.probability(ofSize: UInt64(max(1, min(size, 9e18))), mean: mean)
      }
    }
  }

  /// Goes to the next level and thins the table. Does nothing when there is no further level.
  ///
  /// - Parameter refused: how many blocks have been refused in all.
  mutating func run(on tables: TraceTables, now: UInt64, refused: UInt64) throws(BPFError) {
    // Where blocks came faster than room was made, more room is made this time.
    let target = refused > self.refused ? capacity / 8 : capacity / 2
    self.refused = refused
    var levels = tables.sampling
    guard levels.canRise else { return }
    var histogram = Histogram()
    var live = 0.0
    try tables.forEachBlock { block in
      live += 1
      histogram.add(size: block.sizeInBytes, levels.weight(ofSize: block.sizeInBytes, level: block.level))
    }
    var value = max(1, levels.values[levels.current])
    switch levels.unit {
    case .blocks:
      let factor = max(2, (live / Double(max(1, target))).rounded(.up))
      value = min(value &* UInt64(min(factor, 1e6)), UInt64(UInt32.max))
    case .bytes:
      repeat {
        value *= 2
      } while value < 16 || value < 1 << 40 && histogram.expected(mean: Double(value)) > Double(target)
    }
    guard value > levels.values[levels.current] else { return }
    levels.rise(to: value)
    beginTime = beginTime ?? now
    tables.rise(to: levels)
    try thin(tables, levels)
  }

  private mutating func thin(_ tables: TraceTables, _ levels: SamplingLevels) throws(BPFError) {
    let level = levels.current
    var removed: UInt64 = 0
    var random = random
    try tables.reviseBlocks { block in
      guard block.level < level else { return .keep }
      let chance =
        levels.probability(ofSize: block.sizeInBytes, level: level)
        / levels.probability(ofSize: block.sizeInBytes, level: block.level)
      return random.unit() < chance ? .retime(block.birthTime | UInt64(level)) : .remove
    } done: { block, revision in
      let before = weight(ofSize: block.sizeInBytes, levels, block.level)
      var after = lt_weight()
      if case .remove = revision {
        removed += 1
      } else {
        after = weight(ofSize: block.sizeInBytes, levels, level)
      }
      tables.adjustSite(block.site, bytes: after.bytes &- before.bytes, count: after.count &- before.count)
    }
    self.random = random
    tables.forget(removed)
  }

  /// What a block is counted with in its site's totals: exactly as the programs count it.
  func weight(ofSize size: UInt64, _ levels: SamplingLevels, _ level: Int) -> lt_weight {
    let value = level < levels.values.count ? levels.values[level] : 0
    switch levels.unit {
    case .blocks: return lt_weight_of_nth(size, max(1, value))
    case .bytes:
      return withUnsafeBytes(of: weights.weight_table) {
        lt_weight_of_bytes(size, value, $0.baseAddress!.assumingMemoryBound(to: UInt32.self))
      }
    }
  }
}

/// Sebastiano Vigna's splitmix64: fast, and good enough to choose a sample.
struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return lt_mix(state)
  }

  /// Uniform from 0 up to 1.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
