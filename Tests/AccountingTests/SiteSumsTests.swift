import CTraceABI
import Testing
import TraceModel

@testable import Accounting

@Suite struct SiteSumsTests {
  /// Tables change keys in place.
  @Test func keysAreTheFirstWords() {
    #expect(MemoryLayout<lt_site>.offset(of: \.key) == 0)
    #expect(MemoryLayout<lt_kernel_site>.offset(of: \.key) == 0)
  }

  @Test func blocksAreAdded() {
    var sums = SiteSums()
    #expect(sums.oldestAge(at: 100) == nil)
    sums.add(sizeInBytes: 100, time: 70)
    sums.add(sizeInBytes: 28, time: 40)
    #expect(sums.matching == Tally(bytes: 128, count: 2))
    #expect(sums.variance == 0)
    #expect(sums.oldestAge(at: 100) == .nanoseconds(60))
    // Another part of the same call.
    sums.add(sizeInBytes: 4096, isCounted: false, time: 80)
    #expect(sums.matching == Tally(bytes: 4224, count: 2))
  }

  /// One in four: each stands for four, and the error is that of Horvitz and Thompson.
  @Test func samplesAreWeighted() {
    var sums = SiteSums()
    sums.add(sizeInBytes: 10, weight: 4, time: 1)
    sums.add(sizeInBytes: 20, weight: 4, time: 2)
    #expect(sums.matching == Tally(bytes: 120, count: 8))
    #expect(sums.variance == Double(100 * 12 + 400 * 12))
  }

  @Test func blocksFromTheFutureAreNew() {
    var sums = SiteSums()
    sums.list(address: 1, sizeInBytes: 2, time: 50, now: 40)
    sums.add(sizeInBytes: 2, time: 50)
    #expect(sums.blocks.map(\.age) == [.zero])
    #expect(sums.oldestAge(at: 40) == .zero)
  }

  @Test func totalsTakeWhatIsOutstandingByBlocks() {
    var sums = SiteSums()
    sums.allocated = Tally(bytes: 50, count: 5)
    sums.freed = Tally(bytes: 20, count: 2)
    sums.outstanding = Tally(bytes: 30, count: 3)
    var totals = Report.Totals()
    totals.add(sums)
    totals.add(sums, outstanding: Tally(bytes: 31, count: 3))
    #expect(totals.outstanding == Tally(bytes: 61, count: 6))
    #expect(totals.allocated == Tally(bytes: 100, count: 10))
    #expect(totals.freed == Tally(bytes: 40, count: 4))
  }

  @Test func tablesAreThreeQuartersFullAtTheLimit() {
    #expect(BlockTable.bucketCount(forBlocks: 1_000_000) == 166_667)
    #expect(BlockTable.bucketCount(forBlocks: 1) == 8)
  }
}
