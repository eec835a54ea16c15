import Glibc
import TestTools
import Testing

extension Privileged {
  /// Allocators of their own whose `operator new` throws while it is traced: Tests/Programs/throwing.cpp.
  @Suite struct ThrowingAllocatorsTests {
    @Test(arguments: [nil, "libjemalloc.so.2", "libtcmalloc_minimal.so.4"]) func exceptionsPass(library: String?) throws
    {
      if let library, access("/usr/lib/x86_64-linux-gnu/" + library, R_OK) != 0 {
        print("skipped: there is no \(library)")
        return
      }
      let options = ["-fno-builtin", "-O1"] + (library.map { ["-l:" + $0] } ?? [])
      let outcome = try LeakTrace.trace(
        ["--format", "json", "--no-mappings", "--", Programs.compile("throwing.cpp", options)])
      let report = try outcome.report()
      #expect(outcome.status == 0, "the program ends with the number of what went wrong, or dies")
      #expect(outcome.output.contains("caught 50"))
      // What succeeded is counted, what threw is not.
      #expect(report.outstanding(in: "keep_small()") == Blocks(100 * 48, 100))
      #expect(report.outstanding(in: "keep_large()") == Blocks(3 * 5_000_000, 3))
      #expect(report.outstanding(in: "ask_for_too_much(unsigned long)") == Blocks(0, 0))
      #expect(report.losses == [:])
      #expect(report.notes.allSatisfy { !$0.contains("cannot pass a return probe") })
    }
  }
}
