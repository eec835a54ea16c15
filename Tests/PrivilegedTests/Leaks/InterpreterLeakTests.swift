import Glibc
import TestTools
import Testing

extension Privileged {
  /// Blocks that interpreters hold in heaps of their own: Tests/Programs/leaks/interpreter.*.
  @Suite struct InterpreterLeakTests {
    /// Bytes objects above 512 bytes come from malloc, the tuples around them from an arena.
    @Test(.enabled(if: access("/usr/bin/python3", X_OK) == 0)) func python() throws {
      let report = try stepped("/usr/bin/python3", "interpreter.py")
      #expect(report.verdicts(ofSize: 3033) == ["still_reachable (CPython arena)": 40])
      // What has one count too many. The last is still in a variable of a frame that has ended.
      let miscounted = report.verdicts(ofSize: 5033)
      #expect(miscounted.values.reduce(0, +) == 30)
      #expect(miscounted["definitely_lost", default: 0] >= 28)
      // What has been lost by a library is lost whatever the language.
      let lost = report.verdicts(ofSize: 7777)
      #expect(lost.values.reduce(0, +) == 20)
      #expect(lost["definitely_lost", default: 0] >= 19)
    }

    @Test(.enabled(if: findTool("ruby") != nil)) func ruby() throws {
      let report = try stepped("ruby", "interpreter.rb")
      #expect(report.verdicts(ofSize: 3001) == ["still_reachable (Ruby heap page)": 40])
    }

    @Test(.enabled(if: findTool("php") != nil)) func php() throws {
      let report = try stepped("php", "interpreter.php")
      // Each key is a block with others behind it.
      let keys = report.sites.filter { $0.frames.contains { $0.function?.hasPrefix("EVP_PKEY_new") == true } }
      let blocks = keys.flatMap(\.allocations)
      #expect(blocks.count >= 10)
      #expect(blocks.allSatisfy { $0.verdict == "still_reachable" })
      // Some are known outside of the chunks as well.
      #expect(blocks.allSatisfy { $0.holder == nil || $0.holder == "Zend chunk" })
      #expect(blocks.count { $0.holder == "Zend chunk" } >= blocks.count / 2)
    }

    /// Node keeps a list of the memory of its buffers beside V8's heap.
    @Test(.enabled(if: findTool("node") != nil)) func node() throws {
      let report = try stepped("node", "interpreter.js")
      let buffers = report.verdicts(ofSize: 300_001)
      #expect(buffers.values.reduce(0, +) == 40)
      #expect(buffers.keys.allSatisfy { $0.hasPrefix("still_reachable") })
    }

    /// Runs an interpreter under trace, lets it do its step, and returns the one report, which is made then.
    private func stepped(_ interpreter: String, _ script: String) throws -> LeakReport {
      let running = try LeakAttachment(
        running: [interpreter, Programs.sources + "leaks/" + script], ["-a", "--max-stacks", "65536"], interval: "1h")
      try running.step()
      let report = try running.interruptAndEnd()
      // Code that an interpreter has compiled cannot be walked; the blocks are all there.
      #expect(report.losses.filter { !["stacks_unknown_mapping", "stacks_truncated"].contains($0.key) } == [:])
      #expect(report.checkNotes == [])
      return report
    }
  }
}
