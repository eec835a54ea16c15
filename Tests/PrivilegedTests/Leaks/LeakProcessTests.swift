import TestTools
import Testing

extension Privileged {
  /// Leaks among threads and in children: Tests/Programs/leaks/concurrency.c.
  @Suite struct LeakProcessTests {
    /// Functions that allocate and what becomes of it, in the process that allocates.
    static let truth: [(function: String, kinds: LeakKinds)] = [
      ("case_contention__thread", LeakKinds(definite: (38_016, 400), reachable: (38_144, 400))),
      ("case_fork", LeakKinds(definite: (48, 1), reachable: (48, 1))),
      ("case_fork__child", LeakKinds(definite: (144, 3), reachable: (48, 1))),
      ("case_fork_holder", LeakKinds(reachable: (48, 1))),
      ("case_fork_holder__child", LeakKinds(reachable: (48, 1))),
      ("case_fork_given_up", LeakKinds(reachable: (48, 1))),
      ("case_fork_threaded__child", LeakKinds(definite: (48, 1), reachable: (48, 1))),
      ("case_fork_twice__child", LeakKinds(definite: (48, 1))),
      ("case_fork_twice__grandchild", LeakKinds(definite: (96, 2))),
    ]

    @Test(.enabled(if: Memcheck.isInstalled)) func memcheckAgrees() throws {
      let records = try Memcheck.records(of: [Self.build(), "all"])
      #expect(Set(records.map(\.processID)).count == 7)
      // A child has its parent's blocks, too: each function is looked up where it has run.
      let parent = try #require(records.first { $0.functions.contains("case_contention__thread") }?.processID)
      for (function, kinds) in Self.truth {
        let own = records.filter { $0.processID == parent || function.contains("__") && $0.processID != parent }
        let processes = Set(own.filter { $0.subject() == function }.map(\.processID))
        let first = try #require(processes.min(), "\(function)")
        let found = own.filter { $0.processID == first && $0.subject() == function && !$0.isThreadLocalStorage }
        #expect(found.total == kinds, "\(function)")
      }
    }

    @Test func atExit() throws {
      let report = try LeakTrace.leakReport(of: [Self.build(), "all"])
      let found = report.records.byFunction("case_")
      for (function, kinds) in Self.truth {
        #expect(found[function, default: LeakKinds()] == kinds, "\(function)")
      }
      // The block that holds it is the child's by inheritance only: nobody has seen it allocated there.
      #expect(found["case_fork_given_up__child"]?.all == Blocks(48, 1))
      #expect(found.count == Self.truth.count + 1)
      #expect(report.losses == [:])
      #expect(report.unchecked == 0)
    }

    private static func build() throws -> String { try Programs.compile("leaks/concurrency.c", ["-fno-builtin"]) }
  }
}
