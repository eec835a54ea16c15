import GrowthStatistics
import TraceModel

/// The numbers of one site while they are gathered: those kept per site, and those of the single blocks.
package struct SiteSums {
  package var allocated = Tally()
  package var freed = Tally()
  /// By the totals kept per site; replaced by `matching` where single blocks decide.
  package var outstanding = Tally()
  /// By the blocks themselves, those that are old enough; weighted while sampling.
  private var matchingBytes = 0.0
  private var matchingCount = 0.0
  /// CLOCK_MONOTONIC nanoseconds of the oldest of these; `.max` when there is none.
  package private(set) var oldest = UInt64.max
  /// Of the estimate of outstanding bytes.
  package private(set) var variance = 0.0
  package private(set) var blocks: [OutstandingAllocation] = []
  /// When its outstanding blocks were born, whatever their age; nil when no blocks were looked at.
  package var survivors: Survivors?

  package init() {}

  package var matching: Tally {
    Tally(bytes: UInt64(matchingBytes.rounded()), count: UInt64(matchingCount.rounded()))
  }

  /// Adds an outstanding block that is old enough.
  ///
  /// - Parameters:
  ///   - weight: how many blocks it stands for: 1/P when it was chosen with probability P.
  ///   - isCounted: false for a further part of what is counted already.
  ///   - time: of its allocation, CLOCK_MONOTONIC nanoseconds.
  package mutating func add(sizeInBytes: UInt64, weight: Double = 1, isCounted: Bool = true, time: UInt64) {
    let size = Double(sizeInBytes)
    matchingBytes += size * weight
    if isCounted { matchingCount += weight }
    // Horvitz–Thompson: a block chosen with probability P stands for 1/P and adds (1−P)/P² of its square.
    variance += size * size * weight * (weight - 1)
    oldest = min(oldest, time)
  }

  /// Keeps a block that is to be listed. `now` is of the clock of `time`.
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
