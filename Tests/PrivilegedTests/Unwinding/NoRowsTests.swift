import TestTools
import Testing

extension Privileged {
  /// Code without call-frame information and without frame records: Tests/Programs/unwind/no_rows.c.
  @Suite struct NoRowsTests {
    @Test(arguments: [["-O1"], ["-O1", "-fcf-protection=full"], ["-O0"], ["-O1", "-no-pie"]])
    func callersBehindSuchCodeAreFound(options: [String]) throws {
      let report = try LeakTrace.report(of: [
        Programs.compile("unwind/no_rows.c", ["-fno-builtin", "-rdynamic"] + options)
      ])
      func stacks(through name: String) -> Set<[String]> {
        Set(report.sites(in: name).map { Array($0.functions.prefix { $0 != "main" }) })
      }
      #expect(stacks(through: "case_inner") == [["allocate_here", "bare_inner", "case_inner"]])
      #expect(stacks(through: "case_outer") == [["allocate_here", "bare_inner", "bare_outer", "case_outer"]])
      #expect(
        stacks(through: "case_slot") == [["allocate_here", "bare_inner", "bare_through_slot", "case_slot"]])
      // A call through a register: the stack ends, and says so.
      #expect(stacks(through: "bare_through_pointer") == [])
      let ended = report.sites(in: "bare_inner").filter { !$0.stackComplete }
      #expect(ended.allSatisfy { $0.functions == ["allocate_here", "bare_inner"] })
      #expect(ended.reduce(0) { $0 + $1.outstandingCount } == 2)
      #expect(report.losses == ["stacks_no_row": 2])
      #expect(report.totals.outstanding == Blocks(8000, 8))
    }
  }
}
