import Glibc
import TestTools
import Testing

extension Privileged {
  /// Colours, the width of the terminal, and the pager.
  @Suite struct DisplayTests {
    private let directory: TemporaryDirectory
    private let recording: String

    init() throws {
      directory = try TemporaryDirectory()
      recording = directory.file("run.pb.gz")
      let outcome = try LeakTrace.trace([
        "--output", recording, "--", try Programs.compile("options.c", ["-fno-builtin"]), "order",
      ])
      #expect(outcome.status == 0)
    }

    /// What `leaktrace report` prints on a terminal of 90 columns.
    private func onATerminal(_ options: String, environment: String = "") throws -> String {
      try run([
        "script", "-qec",
        "stty cols 90 rows 30; TERM=xterm \(environment) \(LeakTrace.program) report \(recording) \(options)",
        "/dev/null",
      ])
    }

    private var paged: String { String(decoding: contents(of: directory.file("paged")), as: UTF8.self) }

    @Test func coloursAreForTerminalsOnly() throws {
      let plain = try run([LeakTrace.program, "report", recording])
      #expect(!plain.contains("\u{1b}"))
      #expect(try run([LeakTrace.program, "report", recording, "--color", "always"]).contains("\u{1b}[1;3"))
      #expect(try onATerminal("--no-pager").contains("\u{1b}[1;3"))
      #expect(try !onATerminal("--no-pager --color never").contains("\u{1b}"))
      #expect(try !onATerminal("--no-pager", environment: "NO_COLOR=1").contains("\u{1b}"))
    }

    @Test func theScreenIsAsWideAsTheTerminal() throws {
      let lines = try onATerminal("--no-pager --color never").split(whereSeparator: \.isNewline)
      let screen = lines.prefix { !$0.hasPrefix("#1 ") && !$0.hasPrefix("next:") }
      #expect(screen.count > 2 && screen.allSatisfy { $0.count <= 90 }, "\(screen)")
    }

    @Test func textOnATerminalGoesThroughThePager() throws {
      let pager = "LEAKTRACE_PAGER='cat >\(directory.file("paged"))'"
      #expect(try onATerminal("", environment: pager).isEmpty)
      #expect(paged.contains("allocated:") && paged.contains("\u{1b}["))
    }

    @Test func whatIsNoTextOnATerminalDoesNot() throws {
      let pager = "LEAKTRACE_PAGER='cat >\(directory.file("paged"))'"
      #expect(try onATerminal("--no-pager", environment: pager).contains("allocated:"))
      #expect(try onATerminal("--format json", environment: pager).contains("leaktrace.report/1"))
      #expect(try onATerminal("", environment: "LEAKTRACE_PAGER=").contains("allocated:"))
      // A pager that is not there costs nothing.
      #expect(try onATerminal("", environment: "PAGER=no-such-pager").contains("allocated:"))
      #expect(access(directory.file("paged"), F_OK) != 0)
    }
  }
}
