import TestTools
import Testing

extension Privileged {
  /// Ranges that a program maps itself.
  @Suite struct MappingsTests {
    static let page: UInt64 = 4096
    /// By function: what stays and all that was mapped there, in pages.
    static let cases: [(function: String, outstanding: (UInt64, UInt64), allocated: (UInt64, UInt64))] = [
      ("case_plain", (16, 1), (24, 2)),
      ("case_odd_length", (6, 1), (10, 2)),
      ("case_unmap_head", (8, 1), (10, 1)),
      ("case_unmap_tail", (7, 1), (10, 1)),
      ("case_unmap_middle", (7, 1), (10, 1)),
      ("case_unmap_pieces", (0, 0), (10, 1)),
      ("case_unmap_across", (5, 2), (20, 3)),
      ("case_fixed_outer", (6, 1), (10, 1)),
      ("case_fixed_inner", (4, 1), (4, 1)),
      ("case_fixed_again", (6, 1), (24, 4)),
      ("case_remap_grow", (12, 1), (16, 2)),
      ("case_remap_shrink", (5, 1), (17, 2)),
      ("case_remap_fixed", (8, 2), (16, 3)),
      ("case_remap_part", (12, 2), (15, 2)),
      ("case_remap_dontunmap", (8, 2), (8, 2)),
      ("case_failing", (3, 1), (3, 1)),
      ("case_file", (7, 1), (7, 1)),
    ]

    @Test(arguments: cases.map(\.function), [false, true])
    func leavesItsRemainder(of function: String, isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      let pages = try #require(Self.cases.first { $0.function == function }).outstanding
      #expect(
        report.outstanding(in: function, class: "mapping") == Blocks(pages.0 * Self.page, pages.1))
    }

    /// The program break moves by bytes, up by 100,000 and 50,000 and down by 50,000.
    @Test(arguments: [false, true]) func programBreak(isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      #expect(report.outstanding(in: "case_sbrk", class: "mapping") == Blocks(100_000, 1))
      let functions = try #require(report.sites(in: "case_sbrk").first?.functions)
      #expect(functions.prefix(3) == ["brk", "sbrk", "case_sbrk"])
    }

    /// What malloc maps for a large block is counted once, as heap.
    @Test(arguments: [false, true]) func largeBlocksAreHeap(isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      #expect(report.outstanding(in: "case_malloc", class: "heap") == Blocks(1_000_000 + 1 << 20, 101))
      #expect(report.outstanding(in: "case_malloc", class: "mapping") == Blocks(0, 0))
    }

    @Test(arguments: [false, true]) func totalsAreTheSum(isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      var outstanding = Blocks(100_000 + 1_000_000 + 1 << 20, 102)
      var allocated = Blocks(150_000 + 1_000_000 + 3 << 20, 104)
      for (_, stays, all) in Self.cases {
        outstanding += Blocks(stays.0 * Self.page, stays.1)
        allocated += Blocks(all.0 * Self.page, all.1)
      }
      #expect(report.totals.outstanding == outstanding)
      #expect(report.totals.allocated == allocated)
      #expect(
        report.totals.freed
          == Blocks(allocated.bytes - outstanding.bytes, allocated.count - outstanding.count))
      #expect(report.losses == [:])
      #expect(report.sites.allSatisfy { $0.stackComplete })
    }

    @Test func canBeLeftOut() throws {
      let report = try LeakTrace.report(
        of: [Programs.compile("mappings.c", ["-fno-builtin"])], ["--no-mappings"])
      #expect(report.totals.outstanding == Blocks(1_000_000 + 1 << 20, 101))
      #expect(report.sites.allSatisfy { $0.class == "heap" })
    }

    enum Runs {
      static var started: TraceReport { get throws { try startedRun.get() } }
      static var attached: TraceReport { get throws { try attachedRun.get() } }

      private static let startedRun = Result {
        try LeakTrace.report(of: [Programs.compile("mappings.c", ["-fno-builtin"])])
      }

      private static let attachedRun = Result {
        let program = try TracedProgram([Programs.compile("mappings.c", ["-fno-builtin"])])
        let attachment = try Attachment(to: program)
        try program.step()
        return try attachment.interrupt()
      }
    }
  }
}
