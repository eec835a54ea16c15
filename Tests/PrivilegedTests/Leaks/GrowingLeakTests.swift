import TestTools
import Testing

extension Privileged {
  /// What grows although everything can be reached: Tests/Programs/leaks/growing.cpp.
  @Suite struct GrowingLeakTests {
    /// A job of a continuous integration fails by it, and is told who holds the memory. Both ways to ask for more say the same.
    @Test func failsAndSaysWhoHoldsIt() throws {
      let outcome = try LeakTrace.trace(
        ["--leak-check", "--fail-on-leak", "--explain", "1", "--explain", "remember", "--", try program(), "10"])
      #expect(outcome.status == 1, "\(outcome.errors)")
      let lines = outcome.output.split(separator: "\n")
      let first = try #require(lines.first)
      #expect(first.contains(") GROWS "), "\(first)")
      let finding = try #require(lines.first { $0.hasPrefix("#1 remember growing.cpp:14: ") }, "\(outcome.output)")
      #expect(finding.contains("; growing, "))
      #expect(lines.contains { $0.hasPrefix("    100 % held by global `sessions` (growing.cpp:12): ") })
      // The strings and the nodes of the table are a stack each.
      let explained = lines.filter { $0.hasPrefix("#1 remember(int): ") }
      #expect(explained.count == 4)
      #expect(Set(explained).count == 2, "by number and by name")
      let holders = lines.filter { $0.hasPrefix("\t") && $0.contains(", 100 %: global `sessions`") }
      #expect(holders.count == 4)
      #expect(holders.allSatisfy { $0.contains(" (growing.cpp:12), through blocks of ") })
      #expect(holders.count { $0.contains("std::map nodes of remember(int)") } == 2)
      #expect(lines.contains { $0.hasPrefix("   definitely lost: 0 bytes in 0 blocks") })
      #expect(lines.contains { $0.hasPrefix("     of which grow: ") })
    }

    /// Only what is lost was asked for; and a number and a name that no stack has.
    @Test func passesByWhatIsLostAlone() throws {
      let outcome = try LeakTrace.trace(
        ["--leak-check", "--fail-on-leak=definite", "--explain", "77", "--explain", "forget", "--", try program(), "6"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("77: no stack of this report has that number or function\n"))
      #expect(outcome.output.contains("forget: no stack of this report has that number or function\n"))
    }

    @Test func failsWhenAttachedTo() throws {
      let running = try RunningProgram([try program(), "1000"])
      let outcome = try LeakTrace.trace(
        ["--leak-check", "--fail-on-leak", "-p", String(running.processID), "--duration", "10"])
      #expect(outcome.status == 1, "\(outcome.errors)")
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.first?.contains(") GROWS ") == true)
      // The table itself was made before: paths go through it, and its head lies in the middle of it.
      #expect(
        lines.contains {
          $0.contains("100 % held by global `sessions` (growing.cpp:12), through heap memory from before the trace")
        }, "\(outcome.output)")
    }

    /// A table that is destroyed at exit: the last look finds nothing of it. What was level until its end is no finding.
    @Test(arguments: [true, false]) func grewUntilItWasDestroyed(isChecked: Bool) throws {
      let outcome = try LeakTrace.trace(
        (isChecked ? ["--leak-check", "--fail-on-leak"] : []) + [
          "--", try Programs.compile("leaks/destroyed.cpp"), "9",
        ])
      #expect(outcome.status == (isChecked ? 1 : 0), "\(outcome.errors)")
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.first?.contains(") GROWS ") == true, "\(outcome.output)")
      let rows = lines.filter { $0.contains("growing, freed at its end") && $0.first != "#" }
      #expect(rows.count == 1 && rows[0].contains("remember destroyed.cpp:11"), "\(outcome.output)")
      #expect(lines.contains { $0.contains(", which its process freed at its end") })
      #expect(!lines.contains { $0.contains("fill") && $0.contains("growing") })
    }

    private func program() throws -> String { try Programs.compile("leaks/growing.cpp") }
  }
}
