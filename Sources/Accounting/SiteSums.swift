import GrowthStatistics
import TraceModel

/// The numbers of one site while they are gathered: totals that are kept for each site, and sums over its single blocks.
package struct SiteSums {
  package var allocated = Tally()
  package var freed = Tally()
  /// From the totals that are kept for each site; replaced by `matching` where single blocks decide.
  package var outstanding = Tally()
  /// Sums over those single blocks that are old enough; weighted while sampling.
  private var matchingBytes = 0.0
  private var matchingCount = 0.0
  /// When the oldest of these blocks was allocated, CLOCK_MONOTONIC nanoseconds; `.max` when there is none.
  package private(set) var oldest = UInt64.max
  /// Variance of the estimate of outstanding bytes, in bytes squared.
  package private(set) var variance = 0.0
  package private(set) var blocks: [OutstandingAllocation] = []
  /// When its outstanding blocks were allocated, young ones included; nil when no blocks were looked at.
  package var survivors: Survivors?

  package init() {}

  package var matching: Tally {
    Tally(bytes: UInt64(matchingBytes.rounded()), count: UInt64(matchingCount.rounded()))
  }

  /// Adds an outstanding block that is old enough.
  ///
  /// - Parameters:
  ///   - weight: how many blocks it stands for: 1/P when it was chosen with probability P.
  ///   - isCounted: false for a further part of something that is counted already.
  ///   - time: of its allocation, CLOCK_MONOTONIC nanoseconds.
  package mutating func add(sizeInBytes: UInt64, weight: Double = 1, isCounted: Bool = true, time: UInt64) {
    let size = Double(sizeInBytes)
    matchingBytes += size * weight
    if isCounted { matchingCount += weight }
    // Horvitz–Thompson: a block chosen with probability P stands for 1/P and adds (1−P)/P² of its square.
    variance += size * size * weight * (weight - 1)
    oldest = min(oldest, time)
  }

  /// Adds the numbers of another site.
  package mutating func add(_ other: SiteSums) {
    allocated += other.allocated
    freed += other.freed
    outstanding += other.outstanding
    matchingBytes += other.matchingBytes
    matchingCount += other.matchingCount
    oldest = min(oldest, other.oldest)
    variance += other.variance
    blocks += other.blocks
    if let theirs = other.survivors { survivors?.add(theirs) }
  }

  /// Keeps a block for the list of blocks. `now` is on the same clock as `time`.
  package mutating func list(
    address: UInt64, sizeInBytes: UInt64, time: UInt64, now: UInt64, verdict: BlockVerdict? = nil
  ) {
    blocks.append(
      OutstandingAllocation(
        address: address, sizeInBytes: sizeInBytes, age: .nanoseconds(Int64(now &- min(now, time))), verdict: verdict))
  }

  /// Time since the oldest block was allocated; nil when there is none.
  package func oldestAge(at now: UInt64) -> Duration? {
    oldest == .max ? nil : .nanoseconds(Int64(now &- min(now, oldest)))
  }
}

extension Report.Totals {
  /// Adds the numbers of a site.
  package mutating func add(_ sums: SiteSums, outstanding: Tally? = nil) {
    self.outstanding += outstanding ?? sums.outstanding
    allocated += sums.allocated
    freed += sums.freed
  }
}
