import Glibc
import TestTools
import Testing

extension Privileged {
  /// Commands that leaktrace runs itself.
  @Suite struct CommandsTests {
    @Test func argumentsAfterDashesAreKept() throws {
      let arguments = ["a b", "'c'", "--format", "", "-p", "ü"]
      let outcome = try LeakTrace.trace(["--", program(), "arguments"] + arguments)
      #expect(outcome.output.hasPrefix(arguments.joined(separator: "\n") + "\n"))
      #expect(outcome.status == 0)
    }

    @Test func commandLineIsSplitAsByAShell() throws {
      let line = try "\(program()) arguments 'a  b' \"c 'd'\" e\\ f '' \"\\\"g\\\\\" h\"i\"'j' $HOME *"
      let outcome = try LeakTrace.trace(["-c", line])
      let expected = ["a  b", "c 'd'", "e f", "", "\"g\\", "hij", "$HOME", "*"]
      #expect(outcome.output.hasPrefix(expected.joined(separator: "\n") + "\n"))
      #expect(outcome.status == 0)
    }

    @Test(arguments: [true, false]) func commandIsFoundInPath(asLine: Bool) throws {
      let path = try program()
      let name = String(path.split(separator: "/").last ?? "")
      let command = asLine ? ["-c", "\(name) deep"] : ["--", name, "deep"]
      let outcome = try LeakTrace.trace(
        ["--format", "json"] + command, environment: ["PATH": "/nonexistent:\(Programs.path):/usr/bin"])
      let report = try outcome.report()
      #expect(report.target.executable == path)
      #expect(report.target.command == "\(name) deep")
      #expect(report.target.kind == "command")
      #expect(report.sites.contains { $0.outstandingBytes == 1234 })
    }

    /// The command starts as from a shell: no blocked or ignored signals, our standard input, our environment.
    @Test func commandStartsClean() throws {
      // Nobody can reset the C library's own signals, 32 and 33.
      let signals = try LeakTrace.trace(["--", "grep", "-E", "SigBlk|SigIgn", "/proc/self/status"])
      #expect(signals.output.contains("SigBlk:\t0000000000000000\n"))
      #expect(signals.output.contains(/SigIgn:\t0000000[01]80000000|SigIgn:\t0000000000000000/))
      let environment = try LeakTrace.trace(["--", "printenv", "MARK"], environment: ["MARK": "here"])
      #expect(environment.output.hasPrefix("here\n"))
      let input = try LeakTrace.trace(["--", "head", "-n", "1"], input: "a line\n")
      #expect(input.output.hasPrefix("a line\n"))
      let descriptors = try LeakTrace.trace(
        ["--output", "/dev/null", "--format", "text", "--", "ls", "-l", "/proc/self/fd"])
      #expect(descriptors.output.contains(" 0 -> "))
      #expect(!descriptors.output.contains("anon_inode") && !descriptors.output.contains("leaktrace"))
    }

    /// The very first allocation of the program is made by a constructor of its own.
    @Test func constructorsAreTraced() throws {
      let report = try LeakTrace.report(of: [program(), "deep"])
      #expect(report.totals.outstanding == Blocks(1234 + 7, 2))
      #expect(report.totals.allocated == Blocks(1234 + 7, 2))
      let site = try #require(report.sites.first { $0.outstandingBytes == 7 })
      #expect(site.functions.prefix(1) == ["first_constructor"])
      #expect(site.functions.contains("__libc_start_main"))
      #expect(site.stackComplete)
      #expect(report.losses == [:])
    }

    /// A script's interpreter is what is traced.
    @Test func scripts() throws {
      let directory = try TemporaryDirectory()
      let script = try directory.write("script", "#!/bin/sh\nexit 4\n")
      chmod(script, 0o755)
      let report = try LeakTrace.report(of: [script])
      #expect(report.target.exitStatus == 4)
      #expect(report.totals.allocatedCount > 0)
    }

    @Test func reportsAtAnIntervalAndAtTheEnd() throws {
      let outcome = try LeakTrace.trace(["--format", "json", "0.2", "--", "sleep", "0.5"])
      let reports = try outcome.reports()
      #expect(reports.count >= 2)
      #expect(reports.first?.target.exitStatus == nil)
      #expect(reports.last?.target.exitStatus == 0)
    }

    private func program() throws -> String { try Programs.compile("options.c", ["-fno-builtin"]) }
  }
}
