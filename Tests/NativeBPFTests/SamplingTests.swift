import CNativeBPF
import CTraceABI
import Foundation
import Testing

extension NativeBPFTests {
  @Suite struct Sampling {
    private static let mean: UInt64 = 524_288

    /// P = 1 − e^(−S/mean). The bounds are five standard deviations of so many draws; the numbers are the same in each run.
    @Test(arguments: [16, 64, 1000, 4096, 65_536, 524_288, 2_000_000] as [UInt64])
    func blocksAreChosenAsOftenAsTheirSizeSays(size: UInt64) {
      beginUserTables(sampleMean: Self.mean)
      let probability = -expm1(-Double(size) / Double(Self.mean))
      let draws = max(200_000, Int(400 / probability))
      let chosen = (0..<draws).count { _ in native_should_sample(size) }
      let expected = Double(draws) * probability
      let deviation = (expected * (1 - probability)).squareRoot()
      #expect(abs(Double(chosen) - expected) < 5 * deviation + 1)
    }

    /// What the chosen ones stand for adds up to what there was, whatever the mix of sizes.
    @Test func weightsMakeUpForTheBlocksThatWereNotChosen() {
      beginUserTables(sampleMean: 65_536)
      var (bytes, count, variance) = (0.0, 0.0, 0.0)
      var (trueBytes, trueCount) = (0.0, 0.0)
      for round in 0..<400_000 {
        let size: UInt64 = [48, 512, 9000, 100_000][round % 4]
        trueBytes += Double(size)
        trueCount += 1
        let probability = -expm1(-Double(size) / 65_536)
        variance += Double(size) * Double(size) * (1 - probability) / probability
        guard native_should_sample(size) else { continue }
        let weight = native_weight_of(size)
        bytes += Double(weight.bytes)
        count += Double(weight.count) / Double(1 << LT_COUNT_UNIT_SHIFT)
      }
      #expect(abs(bytes - trueBytes) < 5 * variance.squareRoot())
      #expect(abs(count / trueCount - 1) < 0.2)
    }

    @Test(arguments: [1, 16, 100, 4096, 65_536, 500_000, 524_288, 5_000_000, 100_000_000] as [UInt64])
    func aBlocksWeightIsOneByItsProbability(size: UInt64) {
      beginUserTables(sampleMean: Self.mean)
      let weight = native_weight_of(size)
      let exact = Double(size) / -expm1(-Double(size) / Double(Self.mean))
      // The table's steps, and whole bytes.
      #expect(abs(Double(weight.bytes) - exact) < exact * 1e-4 + 16)
      let count = Double(weight.count) / Double(1 << LT_COUNT_UNIT_SHIFT)
      #expect(abs(count - exact / Double(size)) <= exact / Double(size) * 1e-4 + 16 / Double(size) + 0.001)
    }

    @Test func aFreeTakesOffExactlyWhatItsAllocationAdded() throws {
      beginUserTables(sampleMean: Self.mean)
      let index = native_user_site(0x11, 1, 1, 0, 0).index
      let sizes: [UInt64] = (0..<2000).map { UInt64($0) * 37 }
      for size in sizes { native_site_add(index, size, 0) }
      for size in sizes.reversed() { native_site_subtract(index, size, 0) }
      let site = try #require(native_user_site_at(index)).pointee
      #expect(site.allocated_bytes == site.freed_bytes)
      #expect(site.allocated_count == site.freed_count)
      #expect(site.allocated_bytes > sizes.reduce(0, +))
    }

    /// Blocks keep the level at which they were counted, whatever the level is when they are freed.
    @Test func aFreeTakesOffWhatTheBlocksLevelSays() throws {
      beginUserTables()
      let index = native_user_site(0x11, 1, 1, 0, 0).index
      for size in 1...500 as ClosedRange<UInt64> { native_site_add(index, size, 0) }
      let site = try #require(native_user_site_at(index))
      #expect(site.pointee.allocated_bytes == 125_250)
      #expect(site.pointee.allocated_count == 500 << UInt64(LT_COUNT_UNIT_SHIFT))
      native_set_level(1, 4096)
      native_set_level(2, 65_536)
      for size in 1...500 as ClosedRange<UInt64> { native_site_add(index, size, 2) }
      #expect(site.pointee.allocated_bytes > 125_250 + 500 * 65_000)
      for size in 1...500 as ClosedRange<UInt64> {
        native_site_subtract(index, size, 2)
        native_site_subtract(index, size, 0)
      }
      #expect(site.pointee.allocated_bytes == site.pointee.freed_bytes)
      #expect(site.pointee.allocated_count == site.pointee.freed_count)
    }

    /// From exact to a sample: at the new level blocks are chosen as if it had been asked for.
    @Test func anExactTraceBecomesASample() {
      beginUserTables()
      #expect(native_should_sample(16))
      native_set_level(1, 1024)
      let probability = -expm1(-16 / 1024 as Double)
      let chosen = (0..<200_000).count { _ in native_should_sample(16) }
      let expected = 200_000 * probability
      #expect(abs(Double(chosen) - expected) < 5 * (expected * (1 - probability)).squareRoot())
      #expect(abs(Double(native_weight_of(16).count) / 1024 - 1 / probability) < 0.2)
    }

    @Test func withoutSamplingEachBlockStandsForItself() {
      beginUserTables()
      #expect((0..<1000).allSatisfy { _ in native_should_sample(1) })
      let weight = native_weight_of(1234)
      #expect(weight.bytes == 1234 && weight.count == 1 << UInt64(LT_COUNT_UNIT_SHIFT))
    }

    @Test func everyNthStandsForNBlocks() {
      beginUserTables(everyNth: 10)
      let chosen = (0..<100_000).count { _ in native_should_sample(1) }
      #expect(abs(Double(chosen) - 10_000) < 5 * (100_000 * 0.1 * 0.9 as Double).squareRoot())
      let weight = native_weight_of(100)
      #expect(weight.bytes == 1000 && weight.count == 10 << UInt64(LT_COUNT_UNIT_SHIFT))
    }
  }
}
