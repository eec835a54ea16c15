import Glibc
import TestTools
import Testing

extension Privileged {
  /// Processes that start children all the time, many processes, and leaktrace killed in the middle of it.
  @Suite struct StormTests {
    /// A tracer that is killed may be in the middle of an attach, which the kernel then cannot undo.
    @Test(arguments: ["fork", "vfork"]) func killedWhileChildrenStart(mode: String) throws {
      let program = try RunningProgram([forks(), mode])
      for turn in 0..<8 {
        let running = try RunningProgram([LeakTrace.program, "trace", "-p", String(program.processID)])
        pause(milliseconds: 150 + 130 * turn)
        kill(running.processID, SIGKILL)
        running.wait()
        let isClean = eventually { ProbedCode.changes(in: program.processID).isEmpty }
        #expect(isClean, "\(ProbedCode.changes(in: program.processID))")
        #expect(processState(program.processID) != nil && processState(program.processID) != "Z")
      }
      #expect(try KernelPrograms.orphans() == [])
    }

    /// Its guardian, too.
    @Test func killedWithItsGuardian() throws {
      let program = try RunningProgram([forks(), "fork"])
      for turn in 0..<4 {
        let running = try RunningProgram([LeakTrace.program, "trace", "-p", String(program.processID)])
        pause(milliseconds: 300 + 300 * turn)
        let helpers = guardians(of: running.processID)
        #expect(helpers.count == 1)
        for victim in [running.processID] + helpers { kill(victim, SIGKILL) }
        running.wait()
        let isClean = eventually { ProbedCode.changes(in: program.processID).isEmpty }
        #expect(isClean, "\(ProbedCode.changes(in: program.processID))")
      }
      #expect(try KernelPrograms.orphans() == [])
    }

    @Test(arguments: ["fork", "vfork"]) func isInterruptedWhileChildrenStart(mode: String) throws {
      let program = try RunningProgram([forks(), mode])
      let attachment = try Attachment(to: [program.processID])
      pause(milliseconds: 1500)
      let report = try attachment.interrupt()
      #expect(report.processes.first { $0.pid == program.processID }?.state == "running")
      #expect(eventually { ProbedCode.changes(in: program.processID).isEmpty })
    }

    /// Of a process that is not traced nothing is probed, whatever the traced one does.
    @Test func othersAreLeftAlone() throws {
      let program = try RunningProgram([forks(), "fork"])
      let other = try RunningProgram(["sleep", "1000"])
      defer { kill(other.processID, SIGKILL) }
      #expect(eventually { ProbedCode.changes(in: other.processID).isEmpty })
      let attachment = try Attachment(to: [program.processID])
      pause(milliseconds: 500)
      #expect(!ProbedCode.changes(in: program.processID).isEmpty)
      #expect(ProbedCode.changes(in: other.processID) == [:])
      _ = try attachment.interrupt()
    }

    /// More processes than are traced at a time.
    @Test func theRestIsCounted() throws {
      let directory = try TemporaryDirectory()
      let sleeper = directory.file("manysleep")
      try run(["cp", "/bin/sleep", sleeper])
      let sleepers = try (0..<12).map { _ in try RunningProgram([sleeper, "1000"]) }
      defer { for sleeper in sleepers { kill(sleeper.processID, SIGKILL) } }
      #expect(
        eventually {
          sleepers.allSatisfy {
            String(decoding: contents(of: "/proc/\($0.processID)/comm"), as: UTF8.self) == "manysleep\n"
          }
        })
      let outcome = try LeakTrace.trace([
        "--format", "json", "--comm", "manysleep", "--max-processes", "5", "--duration", "500ms",
      ])
      let report = try outcome.report()
      #expect(report.processes.count == 5)
      #expect(report.notes.contains { $0.hasPrefix("7 processes of the selection are not traced") }, "\(report.notes)")
    }

    private func forks() throws -> String { try Programs.compile("loads/forks.c", ["-fno-builtin"]) }

    private func guardians(of processID: Int32) -> [Int32] {
      let children = contents(of: "/proc/\(processID)/task/\(processID)/children")
      return String(decoding: children, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }.filter {
        String(decoding: contents(of: "/proc/\($0)/comm"), as: UTF8.self) == "lt-guardian\n"
      }
    }
  }
}
