import Glibc
import TestTools
import Testing

extension Privileged {
  /// The table of docs/exit-codes.md, as far as `trace` goes.
  @Suite struct ExitCodeTests {
    /// The status of the command, as the shell has it.
    @Test(
      arguments: [("exit 3", 3), ("exit 0", 0), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)] as [(String, Int32)])
    func commands(script: String, status: Int32) throws {
      let outcome = try LeakTrace.trace(["--", "sh", "-c", script])
      #expect(outcome.status == status)
      #expect(outcome.output.contains("leaktrace: command"))
      #expect(outcome.errors == "")
    }

    private func exits() throws -> String { try Programs.compile("exits.c", ["-fno-builtin"]) }

    /// Leaks come before the status of the command, which is 3.
    @Test func leaksComeFirst() throws {
      #expect(try LeakTrace.trace(["--leak-check", "--fail-on-leak", "--", exits(), "return"]).status == 1)
      #expect(try LeakTrace.trace(["--leak-check", "--fail-on-leak=possible", "--", exits(), "return"]).status == 3)
      #expect(try LeakTrace.trace(["--leak-check", "--", exits(), "return"]).status == 3)
    }

    /// A check that did not take place is a failure of its own.
    @Test func killedBeforeTheCheck() throws {
      let program = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      let running = try RunningProgram(
        [
          LeakTrace.program, "trace", "-v", "--leak-check", "--fail-on-leak", "-p", String(program.processID), "300s",
        ], capturesErrors: true)
      #expect(running.readErrorLine(timeout: patience).hasPrefix("leaktrace: attached to "))
      kill(program.processID, SIGKILL)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 3)
      #expect(outcome.output.contains("was not checked for leaks: it ended before a check could take place"))
    }

    /// What is missing may have leaked.
    @Test func incompleteRecords() throws {
      let program = [try Programs.compile("leaks/known.cpp", ["-fno-builtin"]), "reachable"]
      let options = ["--leak-check", "--fail-on-leak", "--max-pause", "30s"]
      #expect(try LeakTrace.trace(options + ["--"] + program).status == 0)
      #expect(try LeakTrace.trace(options + ["--exact", "--max-allocations", "1", "--"] + program).status == 3)
    }

    /// What the help says of them; the rest of the table is in the tests that docs/exit-codes.md names.
    @Test(arguments: ["trace", "verify"]) func helpNamesThem(command: String) throws {
      let running = try RunningProgram([LeakTrace.program, command, "--help"], capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 0)
      #expect(outcome.output.contains("Exit codes: ") && outcome.output.contains("docs/exit-codes.md"))
      for code in ["1", "2", "3"] { #expect(outcome.output.contains(" \(code)")) }
    }

    /// A file that is none, and options that are wrong.
    @Test(
      arguments: [
        ["verify", "/dev/null", "/dev/null"], ["verify", "/does/not/exist", "/dev/null"], ["report", "/dev/null"],
        ["trace"], ["trace", "-p", "1", "--nonsense"], ["observe", "--for", "never"], ["doctor", "--nonsense"],
        ["kernel", "--cache", "no-such-cache-of-any-kernel"],
      ]) func wrongUsage(arguments: [String]) throws
    {
      let running = try RunningProgram([LeakTrace.program] + arguments, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 2, "\(outcome.output)\(outcome.errors)")
      #expect(outcome.output == "" && !outcome.errors.isEmpty)
    }
  }
}
