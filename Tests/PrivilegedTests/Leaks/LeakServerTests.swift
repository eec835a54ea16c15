import Foundation
import TestTools
import Testing

extension Privileged {
  /// A server under load, checked again and again: Tests/Programs/handover.cpp. Everything in it is referred to at every
  /// moment, so nothing may be called lost.
  @Suite struct LeakServerTests {
    /// How often the server is checked.
    private static let checks = ProcessInfo.processInfo.environment["LEAKTRACE_ALL_TESTS"] == "yes" ? 100 : 20

    /// From its first allocation on: stale pointers in the heap help nobody, and a block that was overlooked shows.
    @Test func tracedFromItsStart() throws {
      let outcome = try LeakTrace.trace(
        ["--format", "json"] + LeakTrace.leakCheck + ["0.02", String(Self.checks), "--", program(), "40"])
      let reports = try LeakReport.all(in: outcome.output)
      #expect(reports.count == Self.checks)
      for report in reports {
        #expect(lost(in: report) == [])
        #expect(report.losses.keys.allSatisfy { $0.hasPrefix("stacks_") }, "\(report.losses)")
      }
      let last = try #require(reports.last)
      #expect(last.records.total[.reachable].count > 1000)
      #expect(outcome.errors == "")
      // The command goes on without leaktrace.
      try killCommand()
    }

    @Test func attachedTo() throws {
      let server = try RunningProgram([program(), "600"])
      try waitForThreads(of: server.processID)
      let attachment = try LeakAttachment(to: [server.processID], interval: "20ms")
      for _ in 0..<Self.checks {
        let report = try attachment.nextReport()
        #expect(lost(in: report) == [])
        #expect(report.losses.keys.allSatisfy { $0.hasPrefix("stacks_") }, "\(report.losses)")
      }
      _ = try attachment.interrupt()
      #expect(processState(server.processID) == "S")
    }

    /// Without a pause: what is said to be lost has been so in every one of several searches.
    @Test func neverStopped() throws {
      let server = try RunningProgram([program(), "600"])
      try waitForThreads(of: server.processID)
      let attachment = try LeakAttachment(to: [server.processID], ["--no-pause"], interval: "100ms")
      for _ in 0..<5 {
        let report = try attachment.nextReport()
        #expect(lost(in: report) == [])
      }
      _ = try attachment.interrupt()
    }

    /// Lost blocks by site, those left out that memcheck calls possibly lost, too.
    private func lost(in report: LeakReport) -> [String] {
      report.records.filter { $0.kinds[.definite].count + $0.kinds[.indirect].count + $0.kinds[.possible].count > 0 }
        .map { "\($0.kinds) at \($0.functions)" }
    }

    private func program() throws -> String { try Programs.compile("handover.cpp") }

    /// Until its threads hand requests around: the first one waits for the four others by then.
    private func waitForThreads(of processID: Int32) throws {
      try #require(
        eventually {
          (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(processID)/task"))?.count ?? 0 >= 5
        })
    }

    private func killCommand() throws {
      let path = try program()
      for entry in try run(["/bin/ps", "-eo", "pid=,args="]).split(separator: "\n") {
        let words = entry.split(separator: " ")
        if words.count > 1, words[1] == path, let processID = Int32(words[0]) { kill(processID, SIGKILL) }
      }
    }
  }
}
