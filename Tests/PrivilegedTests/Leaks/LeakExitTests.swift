import Glibc
import TestTools
import Testing

extension Privileged {
  /// Leak checks at the exit of a command, however it ends: Tests/Programs/exits.c.
  @Suite struct LeakExitTests {
    static let ways: [(way: String, status: Int32)] = [
      ("return", 3), ("exit", 3), ("_exit", 3), ("syscall", 3), ("last-thread", 3), ("abort", 134), ("fault", 139),
      ("first-thread", 5), ("first-thread-alone", 0), ("other-thread", 5), ("threads", 3), ("threads-killed", 134),
      ("exec", 3), ("vfork", 3),
    ]

    @Test(arguments: ways) func everyWay(way: String, status: Int32) throws {
      let outcome = try LeakTrace.trace(["--format", "json"] + LeakTrace.leakCheck + ["--", program(), way])
      let found = try kinds(outcome)
      #expect(found["lose"] == LeakKinds(definite: (96, 2), indirect: (24, 1)))
      #expect(found["keep"] == LeakKinds(reachable: (300, 2)))
      if way.hasPrefix("threads") {
        // One of two threads is in a system call, the other runs; each has a block in a register and one on its stack.
        #expect(found["hold_in_thread"] == LeakKinds(reachable: (1400, 4)))
      }
      #expect(try outcome.report().target.exitStatus == status)
      #expect(outcome.status == status)
      #expect(outcome.errors == "")
    }

    @Test(
      arguments: [("terminated", SIGTERM, 143), ("terminated", SIGINT, 130), ("handled", SIGTERM, 15)]
        as [(
          String, Int32, Int32
        )])
    func signalFromOutside(way: String, signal: Int32, status: Int32) throws {
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "--format", "json"] + LeakTrace.leakCheck + ["--", program(), way],
        capturesErrors: true)
      #expect(running.readLine(timeout: patience) == "ready")
      let children = String(
        decoding: contents(of: "/proc/\(running.processID)/task/\(running.processID)/children"), as: UTF8.self)
      let threads = String(decoding: contents(of: "/proc/\(running.processID)/status"), as: UTF8.self)
      #expect(threads.contains("Threads:"))
      let command = try #require(try commandProcess(of: running.processID), "\(children)")
      kill(command, signal)
      let outcome = LeakTrace.finish(running)
      let found = try kinds(outcome)
      #expect(found["lose"] == LeakKinds(definite: (96, 2), indirect: (24, 1)))
      #expect(found["keep"] == LeakKinds(reachable: (300, 2)))
      #expect(try outcome.report().target.exitStatus == status)
    }

    /// A child is checked at its own exit; it has lost other blocks than its parent.
    @Test func child() throws {
      let outcome = try LeakTrace.trace(["--format", "json"] + LeakTrace.leakCheck + ["--", program(), "child"])
      let report = try #require(try LeakReport.all(in: outcome.output).last)
      let parent = try outcome.report().target.pid
      let own = report.records.filter { $0.processID == parent }.byFunction("lose", "keep")
      let childs = report.records.filter { $0.processID != parent }.byFunction("lose", "keep")
      #expect(own == ["lose": LeakKinds(definite: (96, 2), indirect: (24, 1)), "keep": LeakKinds(reachable: (300, 2))])
      #expect(childs == ["lose": LeakKinds(definite: (96, 2), indirect: (24, 1))])
    }

    /// Leaks are no failure unless asked for; then their kind decides.
    @Test(
      arguments: [
        ([], "return", 3), (["--fail-on-leak"], "return", 1), (["--fail-on-leak=reachable"], "return", 1),
        (["--fail-on-leak=possible"], "return", 3),
      ] as [([String], String, Int32)])
    func failOnLeak(options: [String], way: String, status: Int32) throws {
      let outcome = try LeakTrace.trace(["--leak-check"] + options + ["--", program(), way])
      #expect(outcome.status == status, "\(outcome.errors)")
    }

    private func kinds(_ outcome: LeakTrace.Outcome) throws -> [String: LeakKinds] {
      let report = try #require(try LeakReport.all(in: outcome.output).last, "\(outcome.output)\(outcome.errors)")
      #expect(report.losses == [:])
      #expect(report.unchecked == 0)
      return report.records.byFunction("lose", "keep", "hold_in_thread")
    }

    /// The process that runs `exits` among the children of leaktrace's threads.
    private func commandProcess(of processID: Int32) throws -> Int32? {
      let path = try program()
      let all = try run(["/bin/ps", "-o", "pid=", "--ppid", String(processID)])
      return all.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }.first { child in
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/\(child)/exe", &buffer, buffer.count - 1)
        return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
      }
    }

    private func program() throws -> String { try Programs.compile("exits.c", ["-fno-builtin"]) }
  }
}
