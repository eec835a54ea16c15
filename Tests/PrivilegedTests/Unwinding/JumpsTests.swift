import TestTools
import Testing

extension Privileged {
  /// A signal handler jumps out of the allocator: that call hands out nothing, and all others count as ever.
  @Suite struct JumpsTests {
    @Test(arguments: [false, true]) func jumpsOutOfTheAllocator(isAttached: Bool) throws {
      let report = isAttached ? try attached() : try started()
      #expect(report.outstanding(in: "case_again_from_the_same_frame") == Blocks(100, 10))
      #expect(report.outstanding(in: "case_deeper") == Blocks(110, 10))
      #expect(report.outstanding(in: "case_freed") == Blocks(0, 0))
      #expect(report.outstanding(in: "case_many") == Blocks(13, 1))
      #expect(report.totals.outstanding == Blocks(223, 21))
      #expect(report.totals.allocated == Blocks(343, 31))
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == ["abandoned_calls": 100])
    }

    @Test func deeperFramesAreNamed() throws {
      let site = try #require(try started().sites(in: "case_deeper").first)
      #expect(site.stackComplete)
      #expect(site.functions.prefix(7) == ["deeper", "deeper", "deeper", "deeper", "deeper", "deeper", "case_deeper"])
    }

    private func jumps() throws -> String { try Programs.compile("code/jumps.c", ["-fno-builtin"]) }

    private func started() throws -> TraceReport { try LeakTrace.report(of: [jumps()]) }

    private func attached() throws -> TraceReport {
      let program = try TracedProgram([jumps()])
      let attachment = try Attachment(to: program)
      try program.step()
      return try attachment.interrupt()
    }
  }
}
