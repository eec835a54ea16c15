import TestTools
import Testing

extension Privileged {
  /// Full tables: what is refused is counted, and never part of the totals.
  @Suite struct LimitsTests {
    @Test func fullTableOfBlocks() throws {
      let report = try trace(["--max-allocations", "10000"], "100000", "32")
      #expect(report.totals.outstanding == Blocks(320_000, 10_000))
      #expect(report.totals.allocated == Blocks(320_000, 10_000))
      #expect(report.sites.map(\.outstanding) == [Blocks(320_000, 10_000)])
      #expect(report.losses == ["blocks_refused": 90_000, "bytes_refused": 90_000 * 32])
    }

    /// A refused block's free is the free of an unknown block.
    @Test func fullTableOfBlocksFreed() throws {
      let report = try trace(["--max-allocations", "10000"], "100000", "32", "free")
      #expect(report.totals.outstanding == Blocks(0, 0))
      #expect(report.totals.freed == Blocks(320_000, 10_000))
      #expect(report.totals.unmatchedFrees == 90_000)
      #expect(report.losses == ["blocks_refused": 90_000, "bytes_refused": 90_000 * 32])
      #expect(report.sites.isEmpty)
    }

    @Test func fullTableIsShownInText() throws {
      let outcome = try LeakTrace.trace(["--max-allocations", "1000", "--", limits(), "3000", "8"])
      #expect(outcome.output.contains("2,000 blocks not recorded because the table of outstanding blocks was full"))
      // The first line says so, and no word stands on what is recorded.
      #expect(outcome.output.split(separator: "\n").first?.contains("INCOMPLETE") == true)
      #expect(!outcome.output.contains("plateau"))
    }

    @Test func tableExactlyFull() throws {
      let report = try trace(["--max-allocations", "20000"], "20000", "16")
      #expect(report.totals.outstanding == Blocks(320_000, 20_000))
      #expect(report.losses == [:])
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

    private func limits() throws -> String { try Programs.compile("loads/limits.c", ["-fno-builtin"]) }

    private func trace(_ options: [String], _ arguments: String...) throws -> TraceReport {
      try LeakTrace.report(of: [limits()] + arguments, ["--no-mappings"] + options)
    }
  }
}
