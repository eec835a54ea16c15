import TestTools
import Testing

extension Privileged {
  /// Estimates against the truth: 200,000 live blocks of mixed sizes.
  @Suite struct SamplingTests {
    /// What limits.c allocates and keeps, by the same generator.
    static let truth: (outstanding: Blocks, allocated: Blocks) = {
      var state: UInt64 = 1
      var outstanding = Blocks(0, 0)
      var allocated = Blocks(0, 0)
      for index in 0..<250_000 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let limit: UInt64 = index % 50 == 0 ? 40_000 : 1 << ((state >> 60) % 10)
        let block = Blocks(1 + (state >> 33) % limit, 1)
        allocated += block
        if index % 5 != 4 { outstanding += block }
      }
      return (outstanding, allocated)
    }()

    @Test func nothingIsSampledByDefault() throws {
      let report = try trace([])
      #expect(report.totals.outstanding == Self.truth.outstanding)
      #expect(report.totals.allocated == Self.truth.allocated)
      #expect(report.sampling == nil)
      #expect(report.totals.outstandingBytesStandardError == nil)
      #expect(report.losses == [:])
    }

    @Test(arguments: ["512", "4K", "64K", "512K"]) func byBytes(mean: String) throws {
      let report = try trace(["--sample-bytes", mean])
      let error = try #require(report.totals.outstandingBytesStandardError)
      #expect(error > 0)
      let difference = Double(report.totals.outstandingBytes) - Double(Self.truth.outstanding.bytes)
      #expect(abs(difference) <= 5 * error, "\(difference) of ±\(error)")
      // An error bar as wide as the estimate would pass everything.
      #expect(error < 0.35 * Double(Self.truth.outstanding.bytes))
      #expect(report.sites.first?.outstandingBytesStandardError != nil)
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
    }

    @Test func everyNth() throws {
      let report = try trace(["-s", "10"])
      let error = try #require(report.totals.outstandingBytesStandardError)
      let difference = Double(report.totals.outstandingBytes) - Double(Self.truth.outstanding.bytes)
      #expect(abs(difference) <= 5 * error, "\(difference) of ±\(error)")
      // The count is binomial: 200,000 trials at 1/10, each worth 10, so its standard error is 1342.
      let count = Double(report.totals.outstandingCount)
      #expect(abs(count - 200_000) <= 5 * 1342.0)
      #expect(report.sampling?.everyNth == 10)
      #expect(report.losses == [:])
    }

    @Test func everyFirstIsAll() throws {
      let report = try trace(["-s", "1"])
      #expect(report.totals.outstanding == Self.truth.outstanding)
      #expect(report.sampling == nil)
    }

    @Test func errorBarIsShownInText() throws {
      let outcome = try LeakTrace.trace(["--sample-bytes", "64K", "--", limits(), "mixed"])
      #expect(outcome.output.contains("±"))
    }

    /// The same decided in the process.
    @Test(arguments: ["4K", "64K", "512K"]) func byBytesThroughGate(mean: String) throws {
      let report = try trace(["--gate", "--sample-bytes", mean])
      let error = try #require(report.totals.outstandingBytesStandardError)
      let difference = Double(report.totals.outstandingBytes) - Double(Self.truth.outstanding.bytes)
      #expect(abs(difference) <= 5 * error, "\(difference) of ±\(error)")
      #expect(error < 0.35 * Double(Self.truth.outstanding.bytes))
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
      // The kernel hears of no more calls than were chosen: a quarter of the blocks even at 4 KiB.
      let hits = report.probes.filter { $0.kind == "gate" }.reduce(0) { $0 + $1.hits }
      #expect(hits > 0 && hits < 150_000)
    }

    @Test func everyNthThroughGate() throws {
      let report = try trace(["--gate", "-s", "10"])
      let count = Double(report.totals.outstandingCount)
      #expect(abs(count - 200_000) <= 5 * 1342.0)
      #expect(report.sampling?.everyNth == 10)
      #expect(report.losses == [:])
    }

    /// More chosen blocks than a gate's table has places for are told of, and in no total: together they are all.
    @Test func fullTableOfAGateIsCounted() throws {
      let report = try trace(["--gate", "-s", "2"])
      let refused = report.losses["blocks_refused", default: 0]
      #expect(refused > 10_000)
      #expect(report.losses["bytes_refused", default: 0] > refused)
      #expect(Set(report.losses.keys) == ["blocks_refused", "bytes_refused"])
      // 250,000 trials at 1/2, each worth 2: a standard error of 500.
      let all = Double(report.totals.allocatedCount) + 2 * Double(refused)
      #expect(abs(all - 250_000) <= 5 * 500, "\(all)")
    }

    private func limits() throws -> String { try Programs.compile("loads/limits.c", ["-fno-builtin"]) }

    private func trace(_ options: [String]) throws -> TraceReport {
      try LeakTrace.report(of: [limits(), "mixed"], ["--no-mappings"] + options)
    }
  }
}
