import Glibc
import TestTools
import Testing

extension Privileged {
  /// Leak checks of running programs: Tests/Programs/leaks/live.c.
  @Suite struct LeakAttachTests {
    /// Memory from before the attach is no block, and what it refers to is reachable.
    @Test func memoryFromBeforeTheAttach() throws {
      let (_, report) = try stepped("attached")
      let found = report.records.byFunction("after_", "before_")
      #expect(
        found == [
          "after_lost": LeakKinds(definite: (192, 4)),
          "after_kept": LeakKinds(reachable: (96, 2)),
          "after_in_old": LeakKinds(reachable: (144, 3)),
          "after_grown": LeakKinds(reachable: (10_048, 2)),
        ])
      #expect(report.checkNotes.contains("attached mid-life: unknown heap counts as roots"))
    }

    /// What a compiler at run time puts into instructions, at any byte, is held by them.
    @Test func pointersInGeneratedCode() throws {
      let running = try LeakAttachment(running: [Programs.compile("leaks/immediates.c")], ["-a"], interval: "1h")
      try running.step()
      let report = try running.interruptAndEnd()
      #expect(report.verdicts(ofSize: 1111) == ["still_reachable": 8])
      #expect(report.verdicts(ofSize: 2222) == ["definitely_lost": 8])
    }

    /// From exec nothing is unknown.
    @Test func nothingIsUnknownFromExec() throws {
      let report = try LeakTrace.leakReport(of: [Self.build(), "attached"])
      let found = report.records.byFunction("after_", "before_")
      #expect(
        found == [
          "before_attach": LeakKinds(reachable: (4048, 2)),
          "after_lost": LeakKinds(definite: (192, 4)),
          "after_kept": LeakKinds(reachable: (96, 2)),
          "after_in_old": LeakKinds(reachable: (144, 3)),
          "after_grown": LeakKinds(reachable: (10_048, 2)),
        ])
      #expect(report.checkNotes == [])
    }

    /// Each check says what is true at its time.
    @Test func pointerIsDroppedBetweenChecks() throws {
      let program = try TracedProgram([Self.build(), "drop"])
      let attachment = try LeakAttachment(to: program)
      try program.step()
      var found = try attachment.freshReport().records.byFunction("dropped_later")
      #expect(found == ["dropped_later": LeakKinds(reachable: (96, 2))])
      try program.step()
      found = try attachment.freshReport().records.byFunction("dropped_later")
      #expect(found == ["dropped_later": LeakKinds(definite: (48, 1), indirect: (48, 1))])
      _ = try attachment.interrupt()
      #expect(program.isRunning)
    }

    /// Threads that hold a block in a register only, and later no more.
    @Test func registersOfRunningThreads() throws {
      let program = try TracedProgram([Self.build(), "registers"])
      let attachment = try LeakAttachment(to: program)
      try program.step()
      var found = try attachment.freshReport().records.byFunction("spin_")
      #expect(found["spin_general"] == LeakKinds(reachable: (48, 1)))
      #expect(found["spin_vector"] == LeakKinds(reachable: (48, 1)))
      try program.step()
      found = try attachment.freshReport().records.byFunction("spin_")
      #expect(found["spin_general"] == LeakKinds(definite: (48, 1)))
      #expect(found["spin_vector"] == LeakKinds(definite: (48, 1)))
      _ = try attachment.interrupt()
    }

    /// One block in 5 ms is lost and one kept: no report confuses them, and none has fewer than the one before.
    @Test func leakThatGoesOn() throws {
      let program = try TracedProgram([Self.build(), "ongoing"])
      let attachment = try LeakAttachment(to: program)
      program.send("go")
      var before: UInt64 = 0
      for _ in 0..<8 {
        let found = try attachment.nextReport().records.byFunction("ongoing_")
        let lost = found["ongoing_lost", default: LeakKinds()]
        let kept = found["ongoing_kept", default: LeakKinds()]
        // The last one of each may still be in a register of the program.
        #expect(lost.lost.count >= before)
        #expect(lost.all.count - lost[.definite].count <= 1)
        #expect(kept[.reachable] == kept.all)
        before = lost.lost.count
      }
      #expect(before > 0)
      try program.wait()
      let found = try attachment.interrupt().records.byFunction("ongoing_")
      #expect(found["ongoing_lost"] == LeakKinds(definite: (9600, 200)))
      #expect(found["ongoing_kept"] == LeakKinds(reachable: (9600, 200)))
    }

    /// A server with four busy threads is checked again and again: none of what it works with is ever called lost, and
    /// what is lost is called so when it has come to rest, but for what old pointers in memory that it has not written
    /// since lead to.
    @Test func serverUnderLoad() throws {
      let server = try LeakAttachment(running: [Self.build(), "server"], interval: "50ms")
      try server.step()
      try watchServer(server, checks: 30)
      try server.step()
      let report = try server.freshReport()
      let found = report.records.byFunction("serve_")
      let truth = try lostRequests(server.commandOutput)
      let lost = found["serve_lost", default: LeakKinds()]
      #expect(lost.all == Blocks(80 * truth, truth))
      // Its threads allocate buffers and never write to them: old pointers in there lead to some.
      #expect(Double(lost[.definite].count) >= 0.9 * Double(truth), "\(lost) \(report.checkNotes)")
      try expectLastRequestsOnly(found)
      _ = try server.end()
    }

    /// The same attached. What it does not know of the heap may hold pointers to what is lost, but to little of it.
    @Test func serverThatIsAttachedTo() throws {
      let program = try TracedProgram([Self.build(), "server"])
      let attachment = try LeakAttachment(to: program, interval: "50ms")
      try program.step()
      try watchServer(attachment, checks: 20)
      program.send("go")
      let truth = try lostRequests([program.readLine()])
      try program.wait()
      let found = try attachment.interrupt().records.byFunction("serve_")
      let lost = found["serve_lost", default: LeakKinds()]
      #expect(lost.all == Blocks(80 * truth, truth))
      #expect(Double(lost[.definite].count) >= 0.85 * Double(truth), "\(lost)")
      try expectLastRequestsOnly(found)
    }

    private func watchServer(_ server: LeakAttachment, checks: Int) throws {
      var wrong: [String: LeakKinds] = [:]
      var lastLost: UInt64 = 0
      for _ in 0..<checks {
        let report = try server.nextReport()
        let found = report.records.byFunction("serve_")
        for (function, kinds) in found where function != "serve_lost" && kinds.lost != Blocks(0, 0) {
          wrong[function] = kinds
        }
        lastLost = found["serve_lost", default: LeakKinds()].lost.count
        #expect(report.losses == [:])
        #expect(report.leakChecks.count == 1, "\(report.notes)")
      }
      #expect(wrong == [:])
      #expect(lastLost > 0)
    }

    /// The program prints `lost COUNT`.
    private func lostRequests(_ output: [String]) throws -> UInt64 {
      let line = try #require(output.last { $0.hasPrefix("lost ") })
      return try #require(UInt64(line.dropFirst(5)))
    }

    /// A thread that has ended had its last request in a variable of its own: at most four are lost with what they own.
    private func expectLastRequestsOnly(_ found: [String: LeakKinds]) throws {
      let others = found.filter { $0.key != "serve_lost" }.values.reduce(into: LeakKinds()) { $0 += $1 }
      #expect(others[.definite].count <= 4)
      // Old pointers into requests are left in memory that nobody has written to since: some are possibly lost.
      #expect(others.lost.count + others[.possible].count <= 12)
    }

    /// A program that does one step under the eyes of leaktrace, and the last report.
    private func stepped(_ name: String) throws -> (TracedProgram, LeakReport) {
      let program = try TracedProgram([Self.build(), name])
      let attachment = try LeakAttachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      #expect(report.losses == [:])
      #expect(report.unchecked == 0)
      return (program, report)
    }

    private static func build() throws -> String { try Programs.compile("leaks/live.c", ["-fno-builtin"]) }
  }
}
