import TestTools
import Testing

extension Privileged {
  /// Full tables: what is refused is counted, and never part of the totals. Without --exact a sample is kept.
  @Suite struct LimitsTests {
    @Test func fullTableOfBlocks() throws {
      let report = try trace(["--exact", "--max-allocations", "10000"], "100000", "32")
      #expect(report.totals.outstanding == Blocks(320_000, 10_000))
      #expect(report.totals.allocated == Blocks(320_000, 10_000))
      #expect(report.sites.map(\.outstanding) == [Blocks(320_000, 10_000)])
      #expect(report.losses == ["blocks_refused": 90_000, "bytes_refused": 90_000 * 32])
    }

    /// A refused block's free is the free of an unknown block.
    @Test func fullTableOfBlocksFreed() throws {
      let report = try trace(["--exact", "--max-allocations", "10000"], "100000", "32", "free")
      #expect(report.totals.outstanding == Blocks(0, 0))
      #expect(report.totals.freed == Blocks(320_000, 10_000))
      #expect(report.totals.unmatchedFrees == 90_000)
      #expect(report.losses == ["blocks_refused": 90_000, "bytes_refused": 90_000 * 32])
      #expect(report.sites.isEmpty)
    }

    @Test func fullTableIsShownInText() throws {
      let outcome = try LeakTrace.trace(["--exact", "--max-allocations", "1000", "--", limits(), "3000", "8"])
      #expect(outcome.output.contains("2,000 blocks not recorded because the table of outstanding blocks was full"))
      // The first line says so, and no word stands on what is recorded.
      #expect(outcome.output.split(separator: "\n").first?.contains("INCOMPLETE") == true)
      #expect(!outcome.output.contains("plateau"))
    }

    @Test func tableExactlyFull() throws {
      let report = try trace(["--max-allocations", "20000"], "20000", "16")
      #expect(report.totals.outstanding == Blocks(320_000, 20_000))
      #expect(report.losses == [:])
      #expect(report.sampling == nil)
    }

    /// 60,000 blocks of 100 bytes are kept, and 60,000 of 48 bytes are freed again, where 8,000 are kept one by one: of both a
    /// sample remains, and each stack's numbers are what they were within the error that the report states.
    @Test func aFillingTableBecomesASample() throws {
      let report = try filling([], "60000", "100", "5000")
      #expect(report.losses == [:])
      let sampling = try #require(report.sampling)
      #expect(sampling.meanBytes >= 64)
      #expect(sampling.thinnedBeyondBlocks == 8000)
      #expect(sampling.thinnedAfterSeconds ?? -1 > 0)
      let kept = try #require(report.sites.first { $0.functions.first == "keep" })
      let error = try #require(kept.outstandingBytesStandardError)
      #expect(error > 0 && error < 600_000)
      #expect(abs(Double(kept.outstandingBytes) - 6_000_000) < 5 * error)
      #expect(abs(Double(kept.outstandingBytes) / Double(kept.outstandingCount) - 100) < 1)
      // What was freed is out of the table, whether or not it was in the sample.
      #expect(!report.sites.contains { $0.functions.contains("hold") || $0.functions.contains("churn") })
      // Totals of what was allocated are estimates as good.
      #expect(abs(Double(report.totals.allocatedCount) / 125_000 - 1) < 0.15)
      #expect(report.totals.unmatchedFrees == 0)
    }

    /// The same with one block in three from the beginning.
    @Test func aSampleOfOneInManyIsThinned() throws {
      let report = try filling(["-s", "3"], "60000", "100", "0")
      #expect(report.losses == [:])
      #expect(try #require(report.sampling?.everyNth) >= 6)
      let kept = try #require(report.sites.first { $0.functions.first == "keep" })
      #expect(abs(Double(kept.outstandingBytes) - 6_000_000) < 5 * (kept.outstandingBytesStandardError ?? 0))
    }

    @Test func theFirstScreenSaysThatItIsASample() throws {
      let program = try Programs.compile("loads/filling.c", ["-fno-builtin"])
      let outcome = try LeakTrace.trace(["--max-allocations", "2000", "--", program, "20000", "64", "0"])
      let lines = outcome.output.split(separator: "\n")
      #expect(
        lines.first?.contains("a sample, nothing missed") == true
          || lines.dropFirst().first?.contains("a sample, nothing missed") == true)
      #expect(lines.first?.contains("INCOMPLETE") == false)
      #expect(outcome.output.contains("when more than 2,000 blocks were outstanding"))
    }

    /// 1,024 stacks of one block each where there is room for 16: every block is either in a total or refused.
    @Test func fullTableOfStacks() throws {
      let report = try trace(["--max-stacks", "16"], "stacks")
      let recorded = report.totals.outstandingCount
      let refused = report.losses["blocks_refused", default: 0]
      #expect(recorded + refused == 1024)
      #expect(refused > 0)
      #expect(report.losses["sites_refused"] == refused)
      #expect(report.losses["bytes_refused"] == 40 * refused)
      #expect(report.totals.outstandingBytes == 40 * recorded)
      #expect(UInt64(report.sites.count) == recorded)
      // Of the others the totals are known, and not the frames.
      #expect(report.sites.count { !$0.frames.isEmpty } == 16)
      #expect(report.losses["stacks_refused", default: 0] == recorded - 16)
    }

    @Test func manyStacks() throws {
      let report = try trace([], "stacks")
      #expect(report.sites.count == 1024)
      #expect(report.totals.outstanding == Blocks(40_960, 1024))
      #expect(report.sites.allSatisfy { $0.outstanding == Blocks(40, 1) && $0.stackComplete })
      #expect(Set(report.sites.map(\.functions)).count == 1024)
      #expect(report.losses == [:])
    }

    private func filling(_ options: [String], _ arguments: String...) throws -> TraceReport {
      let program = try Programs.compile("loads/filling.c", ["-fno-builtin"])
      return try LeakTrace.report(
        of: [program] + arguments, ["--no-mappings", "--max-allocations", "8000"] + options)
    }

    private func limits() throws -> String { try Programs.compile("loads/limits.c", ["-fno-builtin"]) }

    private func trace(_ options: [String], _ arguments: String...) throws -> TraceReport {
      try LeakTrace.report(of: [limits()] + arguments, ["--no-mappings"] + options)
    }
  }
}
