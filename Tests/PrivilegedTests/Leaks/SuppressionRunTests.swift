import Glibc
import TestTools
import Testing

extension Privileged {
  /// Suppressions of real leaks: written by leaktrace, read by it, by Valgrind and by LeakSanitizer.
  @Suite struct SuppressionRunTests {
    /// Bytes that are lost for sure, and those that perhaps are.
    private static let definite: UInt64 = 48 + 400 + 1 + 27 + 333
    private static let possible: UInt64 = 128

    private func program(_ options: [String] = []) throws -> [String] {
      [try Programs.compile("leaks/known.cpp", ["-fno-builtin"] + options), "all"]
    }

    /// What --gen-suppressions prints behind the report.
    private func written(_ syntax: String) throws -> String {
      let outcome = try LeakTrace.trace(
        LeakTrace.leakCheck + ["--leak-kinds", "definite,possible", "--gen-suppressions=\(syntax)", "--"] + program())
      try #require(outcome.status == 0, "\(outcome.errors)")
      let start = try #require(outcome.output.range(of: syntax == "lsan" ? "\nleak:" : "\n{\n"))
      return String(outcome.output[start.lowerBound...].dropFirst())
    }

    private func totals(_ options: [String]) throws -> (status: Int32, lines: [String]) {
      let outcome = try LeakTrace.trace(LeakTrace.leakCheck + ["--fail-on-leak"] + options + ["--"] + program())
      return (outcome.status, outcome.output.split(separator: "\n").map { $0.drop { $0 == " " }.description })
    }

    @Test func nothingIsSuppressed() throws {
      let (status, lines) = try totals([])
      #expect(status == 1)
      #expect(lines.contains("definitely lost: \(Self.definite) bytes in 5 blocks"))
      #expect(lines.contains("indirectly lost: 192 bytes in 4 blocks"))
      #expect(lines.contains("possibly lost: \(Self.possible) bytes in 1 blocks"))
      #expect(lines.contains("suppressed: 0 bytes in 0 blocks"))
    }

    @Test(arguments: ["valgrind", "lsan"]) func ownSuppressions(syntax: String) throws {
      let directory = try TemporaryDirectory()
      let file = try directory.write("known.supp", written(syntax))
      let (status, lines) = try totals(["--suppressions", file])
      #expect(status == 0)
      #expect(lines.contains("definitely lost: 0 bytes in 0 blocks"))
      #expect(lines.contains("possibly lost: 0 bytes in 0 blocks"))
      // LeakSanitizer's templates say nothing of kinds, so those of the nodes that are indirectly lost go as well.
      let nodes: UInt64 = syntax == "lsan" ? 192 : 0
      #expect(
        lines.contains("suppressed: \(nodes > 0 ? "1,129" : "937") bytes in \(nodes > 0 ? 10 : 6) blocks"))
      #expect(lines.contains("indirectly lost: \(192 - nodes) bytes in \(nodes > 0 ? 0 : 4) blocks"))
      #expect(lines.contains("Suppressions used:"))
    }

    /// Valgrind finds the same leaks, and none of them when it is given what leaktrace wrote.
    @Test func valgrindTakesThem() throws {
      guard Memcheck.isInstalled else {
        print("skipped: valgrind is not installed")
        return
      }
      let without = try valgrind([])
      #expect(without.status == 9)
      #expect(without.output.contains("definitely lost: \(Self.definite) bytes in 5 blocks"))
      let directory = try TemporaryDirectory()
      let file = try directory.write("known.supp", written("valgrind"))
      let with = try valgrind(["--suppressions=\(file)"])
      #expect(with.status == 0, "\(with.output)")
      #expect(with.output.contains("suppressed: \(Self.definite + Self.possible) bytes in 6 blocks"))
    }

    /// What Valgrind writes suppresses the same here.
    @Test func valgrindsOwn() throws {
      guard Memcheck.isInstalled else {
        print("skipped: valgrind is not installed")
        return
      }
      let entries = try valgrind(["--gen-suppressions=all"]).output.split(separator: "\n")
        .filter { !$0.hasPrefix("==") }.joined(separator: "\n")
      let directory = try TemporaryDirectory()
      let (status, lines) = try totals(["--suppressions", directory.write("valgrind.supp", entries + "\n")])
      #expect(status == 0, "\(lines)")
      #expect(lines.contains("suppressed: \(Self.definite + Self.possible) bytes in 6 blocks"))
    }

    @Test func sanitizerTakesThem() throws {
      let sanitized = try Programs.compile("leaks/known.cpp", ["-fno-builtin", "-fsanitize=leak"])
      let options = ["LSAN_OPTIONS": "exitcode=23:fast_unwind_on_malloc=0"]
      let without = LeakTrace.finish(
        try RunningProgram([sanitized, "all"], environment: options, capturesErrors: true))
      #expect(without.status == 23)
      let directory = try TemporaryDirectory()
      let file = try directory.write("known.supp", written("lsan"))
      let with = LeakTrace.finish(
        try RunningProgram(
          [sanitized, "all"], environment: options.mapValues { $0 + ":suppressions=\(file)" }, capturesErrors: true))
      #expect(with.status == 0, "\(with.errors)")
    }

    private func valgrind(_ options: [String]) throws -> (status: Int32, output: String) {
      let command = try ["valgrind", "--leak-check=full", "--error-exitcode=9"] + options + program()
      for _ in 0..<10 {
        let outcome = LeakTrace.finish(try RunningProgram(command, capturesErrors: true))
        // A leaktrace elsewhere on the host stops every new child at its fork, and valgrind does not stand that.
        if outcome.status != 128 + SIGTRAP { return (outcome.status, outcome.output + outcome.errors) }
      }
      throw ToolFailure(command: "valgrind", status: 128 + SIGTRAP, output: "killed by the probes of another leaktrace")
    }

    // MARK: Files

    @Test func severalFilesAndUnusedRules() throws {
      let directory = try TemporaryDirectory()
      let first = try directory.write("first.supp", "# known\nleak:make_node\nleak:unheard_of\n")
      let second = try directory.write(
        "second.supp", "{\n the shop\n Memcheck:Leak\n match-leak-kinds: definite\n ...\n fun:_ZN4shop*\n}\n")
      let (status, lines) = try totals(["--suppressions", first, "--suppressions", second])
      #expect(status == 1)
      #expect(lines.contains("definitely lost: \(Self.definite - 48 - 401) bytes in 2 blocks"))
      #expect(lines.contains("5 blocks, 240 bytes: make_node"))
      #expect(lines.contains("2 blocks, 401 bytes: the shop"))
      #expect(!lines.contains { $0.contains("unheard_of") })
    }
  }
}
