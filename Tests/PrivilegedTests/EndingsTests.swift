import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// However leaktrace ends, the target goes on and no probe stays.
  @Suite struct EndingsTests {
    static let signals: [(signal: Int32, status: Int32)] = [
      (SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129),
    ]

    @Test(arguments: signals) func signalGivesTheLastReport(signal: Int32, status: Int32) throws {
      let program = try TracedProgram([options(), "order"])
      let attachment = try Attachment(to: program, ["-v"], interval: "300s", waitsForReport: false)
      #expect(attachment.running.readErrorLine(timeout: patience).hasPrefix("leaktrace: attached to "))
      let held = try KernelPrograms.held(by: attachment.running.processID)
      #expect(held.programs.count >= 5 && held.links.count >= 5)
      try program.step()
      kill(attachment.running.processID, signal)
      let outcome = LeakTrace.finish(attachment.running)
      #expect(outcome.status == status)
      #expect(try outcome.reports().count == 1)
      #expect(try outcome.report().totals.outstanding == Blocks(800, 50))
      #expect(outcome.errors == "")
      try program.step()
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
    }

    @Test func killed() throws {
      let program = try TracedProgram([options(), "order"])
      let attachment = try Attachment(to: program)
      let processID = attachment.running.processID
      let held = try KernelPrograms.held(by: processID)
      // Or the test sees nothing.
      #expect(held.programs.count >= 5 && held.links.count >= 5)
      #expect(try KernelPrograms.remaining(of: held) == held)
      kill(processID, SIGKILL)
      attachment.running.wait()
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
      try program.step()
      try program.step()
      #expect(program.isRunning)
      #expect(tracer(of: program.processID) == 0)
    }

    /// At any moment of the attach.
    @Test(arguments: [10, 50, 100, 150, 200, 300]) func killedWhileAttaching(milliseconds: Int) throws {
      let program = try TracedProgram([options(), "order"])
      let running = try RunningProgram([LeakTrace.program, "trace", "-p", String(program.processID)])
      pause(milliseconds: milliseconds)
      kill(running.processID, SIGKILL)
      running.wait()
      #expect(try KernelPrograms.orphans() == [])
      try program.step()
      try program.step()
      #expect(program.isRunning)
    }

    /// A command that is not yet running on its own goes with leaktrace; one that is goes on. It is never left stopped.
    @Test(arguments: [50, 150, 250, 400, 700]) func killedWhileACommandStarts(milliseconds: Int) throws {
      let directory = try TemporaryDirectory()
      let program = directory.file("options")
      try run(["cp", options(), program])
      let running = try RunningProgram([LeakTrace.program, "trace", "--", program, "forever"])
      // It may have begun to run when it could not be seen yet.
      defer { for command in (try? processes(running: program)) ?? [] { kill(command, SIGKILL) } }
      pause(milliseconds: milliseconds)
      let command = try processes(running: program).first
      kill(running.processID, SIGKILL)
      running.wait()
      if let command {
        // The kernel takes the probes off, for which it holds the process up for a moment.
        let goesOn = eventually {
          let state = processState(command)
          return state == nil || state == "S" || state == "Z"
        }
        #expect(goesOn, "\(String(describing: processState(command)))")
        #expect(tracer(of: command) == 0)
      }
      #expect(try KernelPrograms.orphans() == [])
    }

    @Test func interruptedCommandIsNotLeftStopped() throws {
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "--format", "json", "0.1", "--", options(), "forever"],
        capturesErrors: true)
      let first = try TraceReport(json: running.readLine(timeout: patience))
      let child = try #require(first.target.pid)
      defer { kill(child, SIGKILL) }
      kill(running.processID, SIGINT)
      // The command has the other end of the pipe, too.
      running.wait()
      let state = processState(child)
      kill(child, SIGKILL)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 130)
      #expect(try outcome.report().totals.outstandingCount > 1)
      #expect(state == "S" || state == "R")
      #expect(try KernelPrograms.orphans() == [])
    }

    /// The reader of the reports goes away.
    @Test func closedPipe() throws {
      let program = try TracedProgram([options(), "order"])
      let start = secondsNow()
      let shell = try RunningProgram([
        "sh", "-c", "\(LeakTrace.program) trace -p \(program.processID) 0.1 | head -n 1",
      ])
      let output = shell.readOutput(timeout: patience)
      shell.wait()
      #expect(output.split(separator: "\n").first?.contains("(\(program.processID))") == true)
      #expect(secondsNow() - start < patience)
      try program.step()
      #expect(program.isRunning)
    }

    /// Threads that allocate all the time while leaktrace comes and goes.
    @Test func comesAndGoesUnderLoad() throws {
      let program = try RunningProgram([options(), "forever"])
      for _ in 0..<4 {
        let outcome = try LeakTrace.trace(
          ["--format", "json", "--duration", "200ms", "-p", String(program.processID)])
        let report = try outcome.report()
        #expect(outcome.status == 0)
        #expect(report.totals.outstandingCount > 0)
        #expect(report.totals.outstandingBytes == 32 * report.totals.outstandingCount)
        #expect(report.totals.unmatchedFrees == 0)
        #expect(report.losses == [:])
      }
      #expect(processState(program.processID) != nil && processState(program.processID) != "Z")
    }

    private func options() throws -> String { try Programs.compile("options.c", ["-fno-builtin"]) }

    /// Everything that has executed a file.
    private func processes(running path: String) throws -> [Int32] {
      try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.filter { processID in
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(processID)/exe")) == path
      }
    }

    /// TracerPid of /proc/PID/status.
    private func tracer(of processID: Int32) -> Int32 {
      let status = String(decoding: contents(of: "/proc/\(processID)/status"), as: UTF8.self)
      let line = status.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
      return line.flatMap { Int32($0.dropFirst(10).filter(\.isNumber)) } ?? 0
    }
  }
}
