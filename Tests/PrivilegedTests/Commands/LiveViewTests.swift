import Glibc
import ProcessImage
import TestTools
import Testing

extension Privileged {
  /// The live view in a real terminal, that of tmux.
  @Suite(.enabled(if: findTool("tmux") != nil, "needs tmux")) struct LiveViewTests {
    /// A terminal with a shell in it.
    private final class Terminal {
      private let socket = "leaktrace-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      let directory: TemporaryDirectory

      init(columns: Int = 100, rows: Int = 30) throws {
        directory = try TemporaryDirectory()
        try tmux(["-f", "/dev/null", "new-session", "-d", "-x", "\(columns)", "-y", "\(rows)", "env PS1='$ ' /bin/sh"])
        wait { $0.contains("$") }
      }

      deinit { _ = try? tmux(["kill-server"]) }

      @discardableResult
      func tmux(_ arguments: [String]) throws -> String { try run(["tmux", "-L", socket] + arguments) }

      func type(_ keys: String...) throws { try tmux(["send-keys"] + keys) }

      var screen: String { (try? tmux(["capture-pane", "-p"])) ?? "" }
      var showsCursor: Bool { (try? tmux(["display-message", "-p", "#{cursor_flag}"])) == "1\n" }
      var isAlternate: Bool { (try? tmux(["display-message", "-p", "#{alternate_on}"])) == "1\n" }

      /// Whether the screen comes to be so within a minute.
      @discardableResult
      func wait(_ condition: (String) -> Bool) -> Bool {
        eventually { condition(screen) }
      }

      /// Starts the live view on a process.
      func trace(_ processID: Int32, _ options: String = "") throws {
        try type(
          "cd \(directory.path); stty -g >before; \(LeakTrace.program) trace -p \(processID) \(options) --tui 0.2; "
            + "echo code=$? | tee code; stty -g >after", "Enter")
      }

      /// The line with leaktrace's exit code, once it has ended.
      var code: String { (try? run(["cat", directory.file("code")])) ?? "" }

      var settings: (before: String, after: String) {
        func contents(_ name: String) -> String { (try? run(["cat", directory.file(name)])) ?? "" }
        return (contents("before"), contents("after"))
      }
    }

    private func program() throws -> RunningProgram {
      try RunningProgram([Programs.compile("options.c", ["-fno-builtin"]), "forever"])
    }

    @Test func keys() throws {
      let program = try program()
      let terminal = try Terminal()
      try terminal.trace(program.processID)
      #expect(terminal.wait { $0.contains("growing < main") && $0.contains("outstanding") }, "\(terminal.screen)")
      #expect(terminal.isAlternate)
      try terminal.type("Enter")
      #expect(terminal.wait { $0.contains("__libc_start_main") }, "the stack opens: \(terminal.screen)")
      try terminal.type("?")
      #expect(terminal.wait { $0.contains("choose a call stack") })
      try terminal.type("?")
      try terminal.tmux(["resize-window", "-x", "60", "-y", "12"])
      #expect(
        terminal.wait {
          $0.split(separator: "\n", omittingEmptySubsequences: false).count <= 13 && $0.contains("growing")
        })
      try terminal.type("q")
      // The last report stays.
      #expect(terminal.wait { $0.contains("code=0") }, "\(terminal.screen)")
      #expect(!terminal.isAlternate)
      #expect(terminal.showsCursor)
      #expect(terminal.settings.before != "")
      #expect(terminal.settings.before == terminal.settings.after)
      #expect(processState(program.processID) != nil)
      #expect(try KernelPrograms.orphans() == [])
    }

    /// However it ends, the terminal is as it was.
    @Test(arguments: [SIGINT, SIGTERM, SIGKILL]) func endings(signal: Int32) throws {
      let program = try program()
      let terminal = try Terminal()
      try terminal.trace(program.processID)
      #expect(terminal.wait { $0.contains("growing < main") }, "\(terminal.screen)")
      let children = try run(["pgrep", "-f", "trace -p \(program.processID) --tui"])
        .split(separator: "\n").compactMap { Int32($0) }
      let leaktrace = try #require(
        children.first { readLink("/proc/\($0)/exe") == LeakTrace.program }, "\(children)")
      kill(leaktrace, signal)
      let code = signal == SIGINT ? 130 : 128 + signal
      // Not from the screen: what is printed before the guardian has put it right goes with the live view.
      #expect(terminal.wait { _ in terminal.code == "code=\(code)\n" }, "\(terminal.screen)")
      // Killed, it is its guardian that puts the terminal right.
      #expect(terminal.wait { _ in !terminal.isAlternate && terminal.showsCursor })
      try terminal.type("stty -g >later", "Enter")
      #expect(terminal.wait { _ in access(terminal.directory.file("later"), F_OK) == 0 })
      #expect(terminal.wait { _ in (try? run(["cat", terminal.directory.file("later")])) == terminal.settings.before })
      #expect(processState(program.processID) != nil)
    }

    /// Without a terminal it is plain text.
    @Test func withoutATerminal() throws {
      let program = try program()
      let outcome = try LeakTrace.trace(["-p", String(program.processID), "--tui", "--duration", "300ms"])
      #expect(outcome.status == 0)
      #expect(outcome.output.contains("\nleaktrace: process \(program.processID)"))
      #expect(!outcome.output.contains("\u{1b}"))
    }
  }
}
