import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// A process that is stopped for a check must not notice, and must run again whatever happens to leaktrace.
  @Suite struct LeakPauseTests {
    /// Fifty checks of a process with a thread in every system call that a stop can make return EINTR.
    @Test func blockedCallsAreNotDisturbed() throws {
      let program = try TracedProgram([blocked(), "handled"])
      let attachment = try LeakAttachment(to: program, interval: "50ms")
      for _ in 0..<50 { _ = try attachment.nextReport() }
      _ = try attachment.interrupt()
      program.letGo()
      #expect(program.readLine() == "undisturbed")
      #expect(program.end() == 0)
    }

    /// The same for a command of ours, whose first thread stays traced and gets signals that it ignores.
    @Test func blockedCallsOfACommandAreNotDisturbed() throws {
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "--format", "json"] + LeakTrace.leakCheck + ["0.05", "--", blocked(), "alone"],
        environment: ["STEPS": "1"], capturesErrors: true)
      try awaitReady(running)
      let child = try #require(Int32(running.readLine(timeout: patience)))
      // Ignored by default; but to a traced thread even such a signal is delivered. One at a time, and between checks: of
      // two that are pending at once another thread may take the second, and what it woke returns EINTR.
      for number in 0..<6 {
        let line = running.readLine(timeout: patience)
        try #require(LeakReport.all(in: line).count == 1, "\(line.prefix(200))")
        pause(milliseconds: 10)
        kill(child, number % 2 == 0 ? SIGWINCH : SIGURG)
      }
      running.send("go\n")
      let outcome = LeakTrace.finish(running)
      #expect(outcome.output.contains("undisturbed\n"))
      #expect(try outcome.report().target.exitStatus == 0)
    }

    /// Calls with a time limit expire although a check comes every now and then that makes them begin anew.
    @Test func limitsExpire() throws {
      let program = try TracedProgram([Programs.compile("timeouts.c")])
      let attachment = try LeakAttachment(to: program, interval: "100ms")
      program.letGo()
      #expect(program.readLine() == "epoll_wait 0 0 in time")
      #expect(program.readLine() == "epoll_pwait2 0 0 in time")
      #expect(program.readLine() == "semtimedop -1 \(EAGAIN) in time")
      #expect(program.readLine() == "sigtimedwait -1 \(EAGAIN) in time")
      #expect(program.readLine() == "io_getevents 0 0 in time")
      try program.wait()
      _ = try attachment.interrupt()
    }

    @Test func killedInThePause() throws {
      let program = try TracedProgram([blocked(), "handled"])
      let running = try pausing(program)
      #expect(threadStates(program.processID).allSatisfy { $0 == "t" })
      // Between a thread's stop and our looking at the call that it was in, its call cannot be mended.
      #expect(eventually { isPausing(running.processID) })
      kill(running.processID, SIGKILL)
      running.wait()
      try expectUndisturbed(program)
    }

    /// Ctrl-C ends leaktrace with its report as soon as the pause is over.
    @Test(arguments: [SIGINT, SIGTERM]) func interruptedInThePause(signal: Int32) throws {
      let program = try TracedProgram([blocked(), "handled"])
      let running = try pausing(program)
      kill(running.processID, signal)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == (signal == SIGINT ? 130 : 143))
      try expectUndisturbed(program)
    }

    /// A command of ours, too, goes on when leaktrace is killed in a pause of it.
    @Test func killedInThePauseOfACommand() throws {
      let running = try RunningProgram(
        [LeakTrace.built, "trace", "--leak-check", "0.1", "--", blocked(), "alone"],
        environment: ["STEPS": "1", "LD_PRELOAD": lateResume()])
      try awaitReady(running)
      let child = try #require(Int32(running.readLine(timeout: patience)))
      defer { kill(child, SIGKILL) }
      #expect(eventually { threadStates(child).allSatisfy { $0 == "t" } })
      kill(running.processID, SIGKILL)
      running.wait()
      #expect(eventually { threadStates(child).allSatisfy { $0 == "S" || $0 == "D" } })
      #expect(tracer(of: child) == 0)
    }

    /// What job control has stopped stays stopped, and goes on when it is told to.
    @Test func stoppedProcessStaysStopped() throws {
      let program = try TracedProgram([blocked(), "handled"])
      kill(program.processID, SIGSTOP)
      #expect(eventually { threadStates(program.processID).allSatisfy { $0 == "T" } })
      let attachment = try LeakAttachment(to: program, interval: "50ms")
      for _ in 0..<10 {
        let report = try attachment.nextReport()
        #expect(report.notes.contains { $0.hasPrefix("process \(program.processID) is stopped by a signal") })
        #expect(threadStates(program.processID).allSatisfy { $0 == "T" || $0 == "t" })
      }
      _ = try attachment.interrupt()
      #expect(threadStates(program.processID).allSatisfy { $0 == "T" })
      kill(program.processID, SIGCONT)
      let later = try Attachment(to: program)
      let report = try later.report { !$0.notes.contains { $0.contains("is stopped") } }
      #expect(!report.notes.contains { $0.contains("is stopped") })
      // The stop itself makes these calls return EINTR, with or without leaktrace.
      program.letGo()
      #expect(program.readLine() != "")
      kill(program.processID, SIGKILL)
    }

    /// Stopping and continuing while it is checked ends as it would without.
    @Test func stopsAndContinuesWhileChecked() throws {
      let program = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      let attachment = try LeakAttachment(to: program, interval: "20ms")
      for _ in 0..<20 {
        kill(program.processID, SIGSTOP)
        _ = try attachment.nextReport()
        #expect(eventually { threadStates(program.processID).allSatisfy { $0 == "T" } })
        kill(program.processID, SIGCONT)
        _ = try attachment.nextReport()
        #expect(eventually { threadStates(program.processID).allSatisfy { $0 == "S" } })
      }
      try program.step()
      _ = try attachment.interrupt()
      #expect(program.isRunning)
    }

    /// Another tracer is not disturbed: the process is searched while it runs, and the report says so.
    @Test func tracedByAnother() throws {
      let program = try TracedProgram([blocked(), "handled"])
      let tracer = try RunningProgram([Programs.compile("tracer.c"), String(program.processID)])
      #expect(tracer.readLine(timeout: patience) == "tracing")
      let attachment = try LeakAttachment(to: program, interval: "200ms")
      let report = try attachment.nextReport()
      #expect(
        report.leakChecks.flatMap(\.notes).contains {
          $0.contains("not stopped: process \(tracer.processID) traces it already; searched while it ran instead")
        }, "\(report.leakChecks)")
      _ = try attachment.interrupt()
      #expect(self.tracer(of: program.processID) == tracer.processID)
      tracer.closeInput()
      tracer.wait()
      try expectUndisturbed(program)
    }

    /// A thread that waits for its vfork child cannot be stopped; the others are, and nothing hangs.
    @Test func waitsForItsVforkChild() throws {
      let program = try TracedProgram([Programs.compile("vfork.c")])
      program.send("go")
      #expect(program.readLine() == "forking")
      let start = secondsNow()
      let attachment = try LeakAttachment(to: program, interval: "100ms")
      let report = try attachment.nextReport()
      _ = try attachment.interrupt()
      #expect(
        report.leakChecks.flatMap(\.notes).contains { $0.contains("some threads did not stop") }, "\(report.leakChecks)"
      )
      #expect(secondsNow() - start < patience)
      program.send("go")
      try program.wait()
      #expect(tracer(of: program.processID) == 0)
    }

    /// Five hundred threads are stopped and let go within what was promised, check by check.
    @Test func crowd() throws {
      let program = try TracedProgram([Programs.compile("leaks/crowd.c", ["-pthread"]), "500"])
      let attachment = try LeakAttachment(to: program, ["--max-pause", "2s"])
      try program.step()
      for _ in 0..<5 {
        let check = try #require(try attachment.freshReport().leakChecks.first)
        #expect(check.method == "paused" || check.method == "mixed")
        #expect(check.pausedSeconds > 0 && check.pausedSeconds <= 2)
        #expect(check.stillReachable.count >= 20000)
      }
      _ = try attachment.interrupt()
    }

    /// So many that this alone would take too long are not stopped at all.
    @Test func tooLargeACrowd() throws {
      let program = try TracedProgram([Programs.compile("leaks/crowd.c", ["-pthread"]), "500"])
      let attachment = try LeakAttachment(to: program, ["--max-pause", "100ms"])
      let check = try #require(try attachment.freshReport().leakChecks.first)
      #expect(check.method == "running" && check.pausedSeconds == 0)
      #expect(
        check.notes.first?.hasPrefix(
          "not stopped: stopping 501 threads and letting them go would take longer than --max-pause") == true,
        "\(check.notes)")
      _ = try attachment.interrupt()
    }

    // MARK: Support

    private func blocked() throws -> String { try Programs.compile("blocked.c") }

    /// A library that makes the pauses of a leaktrace with it last 3 seconds.
    private func lateResume() throws -> String {
      try Programs.compile("late_resume.c", ["-shared", "-fPIC"], suffix: ".so")
    }

    /// leaktrace in a long pause of the program.
    private func pausing(_ program: TracedProgram) throws -> RunningProgram {
      let running = try RunningProgram(
        [LeakTrace.built, "trace", "--leak-check", "-p", String(program.processID), "0.1"],
        environment: ["LD_PRELOAD": lateResume()], capturesErrors: true)
      #expect(eventually { threadStates(program.processID).allSatisfy { $0 == "t" } })
      return running
    }

    private func expectUndisturbed(_ program: TracedProgram) throws {
      #expect(eventually { threadStates(program.processID).allSatisfy { $0 == "S" } })
      #expect(tracer(of: program.processID) == 0)
      program.letGo()
      #expect(program.readLine() == "undisturbed")
      #expect(program.end() == 0)
    }

    /// Until the command says that it is ready; leaktrace's first reports may come before that.
    private func awaitReady(_ running: RunningProgram) throws {
      try #require(eventually { running.readLine(timeout: patience).hasSuffix("ready") })
    }

    /// Whether a thread of leaktrace lets time pass with the process stopped, which it does when it has looked at all of it.
    private func isPausing(_ processID: Int32) -> Bool {
      let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(processID)/task")) ?? []
      return threads.contains {
        String(decoding: contents(of: "/proc/\(processID)/task/\($0)/wchan"), as: UTF8.self) == "hrtimer_nanosleep"
      }
    }

    /// The state letters of a process's threads.
    private func threadStates(_ processID: Int32) -> [Character] {
      guard let directory = opendir("/proc/\(processID)/task") else { return [] }
      defer { closedir(directory) }
      var states: [Character] = []
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if let thread = Int32(name), let state = processState(thread) { states.append(state) }
      }
      return states
    }

    private func tracer(of processID: Int32) -> Int32 {
      let status = String(decoding: contents(of: "/proc/\(processID)/status"), as: UTF8.self)
      let line = status.split(separator: "\n").first { $0.hasPrefix("TracerPid:") }
      return line.flatMap { Int32($0.dropFirst(10).filter(\.isNumber)) } ?? 0
    }
  }
}
