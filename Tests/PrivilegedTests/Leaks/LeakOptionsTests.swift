import Glibc
import TestTools
import Testing

extension Privileged {
  /// The options of a leak check and what a report shows of it.
  @Suite struct LeakOptionsTests {
    private func program() throws -> [String] {
      [try Programs.compile("leaks/known.cpp", ["-fno-builtin"]), "all"]
    }

    private func text(_ options: [String]) throws -> (status: Int32, output: String) {
      let outcome = try LeakTrace.trace(["--max-pause", "30s"] + options + ["--"] + program())
      #expect(outcome.errors.isEmpty)
      return (outcome.status, outcome.output)
    }

    // MARK: Kinds

    /// By default as memcheck; the rest is counted.
    @Test func definiteAndPossibleAreShown() throws {
      let (status, output) = try text(["--leak-check", "--format", "memleak"])
      #expect(status == 0)
      let verdicts = output.split(separator: "\n").filter { $0.contains("verdict:") }
      #expect(verdicts.count == 6)
      #expect(!verdicts.contains { $0.contains("still reachable") })
      #expect(
        output.contains(
          "definitely lost 48 bytes in 1 block; indirectly lost 192 bytes in 4 blocks; keeping 192 bytes in 4 blocks"))
      #expect(output.contains("left out: none of a kind to be shown (--leak-kinds)"))
    }

    @Test(arguments: [
      ("reachable", ["still reachable"]), ("possible", ["possibly lost"]), ("none", []),
    ]) func kinds(kinds: String, shown: [String]) throws {
      let (_, output) = try text(["--leak-check=full", "--leak-kinds", kinds, "--format", "memleak"])
      let verdicts = output.split(separator: "\n").filter { $0.contains("verdict:") }
      #expect(verdicts.isEmpty == shown.isEmpty)
      for verdict in verdicts { #expect(shown.contains { verdict.contains("verdict: " + $0) }) }
    }

    @Test func summary() throws {
      let (_, output) = try text(["--leak-check=summary"])
      #expect(!output.contains("stacks with outstanding") && !output.contains("verdict:"))
      #expect(output.contains("LEAK SUMMARY:\n   definitely lost: 809 bytes in 5 blocks\n"))
    }

    /// An INTERVAL behind the option stays one, and a word of its own is taken.
    @Test func valuesMayBeLeftOut() throws {
      let target = try TracedProgram(program())
      let pid = String(target.processID)
      for arguments in [["-p", pid, "--leak-check", "0.1", "1"], ["--leak-check", "summary", "-p", pid, "0.1", "1"]] {
        let outcome = try LeakTrace.trace(["--max-pause", "30s"] + arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("LEAK SUMMARY"))
      }
    }

    /// The largest loss first, not the largest site.
    @Test func sortedByLoss() throws {
      let outcome = try LeakTrace.trace(
        ["--format", "json"] + LeakTrace.leakCheck + ["--"] + program())
      let report = try #require(try LeakReport.all(in: outcome.output).last)
      let lost = report.sites.map { $0.verdict.definitelyLost.bytes + $0.verdict.indirectlyLost.bytes }
      let known = lost.prefix { $0 > 0 }
      #expect(Array(known) == [240, 400, 333, 27, 1], "the list has 48 + 192 and keeps 192 more")
      #expect(lost.dropFirst(5).allSatisfy { $0 == 0 })
      #expect(report.sites[5].verdict.possiblyLost.bytes == 128)
    }

    // MARK: Exit codes

    @Test(arguments: [
      ([], 0), (["--fail-on-leak"], 1), (["--fail-on-leak=indirect"], 1), (["--fail-on-leak", "reachable"], 1),
      (["--fail-on-leak=none"], 0),
    ]) func exitCode(options: [String], status: Int) throws {
      #expect(try text(["--leak-check=summary"] + options).status == Int32(status))
    }

    @Test func nothingLost() throws {
      let outcome = try LeakTrace.trace(
        ["--max-pause", "30s", "--leak-check", "--fail-on-leak", "--", try program()[0], "reachable"])
      #expect(outcome.status == 0, "\(outcome.output)")
    }

    // MARK: Single blocks

    @Test func firstBytes() throws {
      let (_, output) = try text(["--leak-check", "-a", "--hexdump"])
      #expect(output.contains("  61 20 73 74 72 69 6e 67 20 74 68 61 74 20 6e 6f  |a string that no|\n"))
      #expect(output.contains("  62 6f 64 79 20 6b 65 65 70 73 00                 |body keeps.|\n"))
      #expect(output.contains("definitely lost, keeping 192 bytes in 4 blocks\n"))
      #expect(!output.contains("size = 77 "), "only blocks of the kinds to be shown")
    }

    /// The path to a block, with the variable that it begins at. Without randomization addresses are the same in each run.
    @Test func explanations() throws {
      let command = [LeakTrace.program, "trace", "--leak-check", "--leak-kinds", "all", "--max-pause", "30s"]
      func run(_ options: [String]) throws -> LeakTrace.Outcome {
        LeakTrace.finish(
          try RunningProgram(["setarch", "-R"] + command + options + ["--"] + program(), capturesErrors: true))
      }
      let listing = try #require(try LeakReport.all(in: run(["-a", "--format", "json"]).output).last)
      func address(ofSize size: UInt64) throws -> UInt64 {
        let block = try #require(listing.sites.flatMap(\.allocations).first { $0.size == size })
        return try #require(UInt64(block.address.dropFirst(2), radix: 16))
      }
      let (first, second) = (try address(ofSize: 300), try address(ofSize: 77))
      let (lost, interior) = (try address(ofSize: 333), try address(ofSize: 128))
      func text(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
      let outcome = try run([
        "--explain", text(second + 7), "--explain", String(lost, radix: 16), "--explain", text(interior), "--explain",
        "0x1",
      ])
      let expected = """
        \(text(second + 7)): 7 bytes inside of a block of 77 bytes at \(text(second)), still reachable
        \ttable+0x18 [known-X] holds \(text(first)), a block of 300 bytes
        \t\(text(first + 16)), 16 bytes inside of a block of 300 bytes, holds \(text(second)), a block of 77 bytes
        \(text(lost)): a block of 333 bytes, definitely lost
        \tnothing points to it
        \(text(interior)): a block of 128 bytes, possibly lost
        \tinside [known-X] holds \(text(interior + 8)), 8 bytes inside of a block of 128 bytes
        0x1: no outstanding block is there

        """
      let name = try #require(program()[0].split(separator: "/").last)
      #expect(outcome.output.contains(expected.replacing("known-X", with: String(name))), "\(outcome.output)")
    }

    @Test(arguments: [
      (["--leak-check=all"], "'full' and 'summary'"),
      (["--leak-check="], "--leak-check"),
      (["--leak-kinds", "definite"], "add --leak-check"),
      (["--fail-on-leak"], "add --leak-check"),
      (["--explain", "12"], "add --leak-check"),
      (["--max-pause", "1s"], "add --leak-check"),
      (["--no-pause"], "add --leak-check"),
      (["--roots", "all"], "add --leak-check"),
      (["--unaligned"], "add --leak-check"),
      (["--suppressions", "x"], "add --leak-check"),
      (["--gen-suppressions"], "add --leak-check"),
      (["--leak-check", "--leak-kinds", "definite,sure"], "'sure' is none of definite, indirect, possible, reachable"),
      (["--leak-check", "--leak-kinds", "all,definite"], "'all' is none of"),
      (["--leak-check", "--fail-on-leak=some"], "'some'"),
      (["--leak-check", "--roots", "stacks,heaps"], "'heaps' is none of globals, stacks, registers, tls"),
      (["--leak-check", "--explain", "0xyz"], "hexadecimal digits"),
      (["--leak-check", "--max-pause", "0"], "--no-pause"),
      (["--leak-check", "--max-pause", "2m"], "a minute at most"),
      (["--leak-check", "--max-pause", "long"], "'long' is no length of time"),
      (["--leak-check", "--max-pause", "10", "--no-pause"], "contradict"),
      (["--leak-check", "--hexdump"], "add -a"),
      (["--leak-check", "-s", "3"], "every block"),
      (["--leak-check", "--combined-only"], "--combined-only"),
      (["--leak-check", "--gen-suppressions=xml"], "'valgrind' and 'lsan'"),
      (
        ["--leak-check", "--suppressions", "/no/such/file"], "--suppressions /no/such/file cannot be read: No such file"
      ),
      (["--leak-check", "--suppressions", "/etc/passwd"], "--suppressions /etc/passwd:1: 'root:"),
    ]) func refusals(options: [String], expected: String) throws {
      let outcome = try LeakTrace.trace(options + ["--", "true"])
      #expect(outcome.status == 2)
      #expect(outcome.output.isEmpty)
      #expect(
        outcome.errors.split(separator: "\n").count == 1 && outcome.errors.contains(expected), "\(outcome.errors)")
    }
  }
}
