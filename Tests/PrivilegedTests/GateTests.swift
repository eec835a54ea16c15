import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// What gates do to a process, and what stays of them. That they count exactly is tested where counting is.
  @Suite struct GateTests {
    /// 50 blocks of 16 bytes, then one of 100,000 and one of 300, then one of 5,000, step by step; see Tests/Programs/options.c.
    private func program() throws -> TracedProgram {
      try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
    }

    @Test func sizesAreChosenInTheProcess() throws {
      let program = try Programs.compile("options.c", ["-fno-builtin"])
      let all = try LeakTrace.report(of: [program, "order"], ["--gate", "--no-mappings"])
      let large = try LeakTrace.report(of: [program, "order"], ["--gate", "--no-mappings", "-z", "4K"])
      #expect(all.losses == [:] && large.losses == [:])
      #expect(large.totals.outstanding == Blocks(105_000, 2))
      #expect(large.totals.allocated == Blocks(105_000, 2))
      func hits(_ report: TraceReport) -> UInt64 {
        report.probes.filter { $0.kind == "gate" }.reduce(0) { $0 + $1.hits }
      }
      #expect(hits(large) == 2)
      #expect(hits(all) > 2)
    }

    @Test func codeIsAsItWasAfterwards() throws {
      let program = try program()
      let attachment = try Attachment(to: program, ["--gate"])
      #expect(!ProbedCode.changes(in: program.processID).isEmpty)
      try program.step()
      #expect(try attachment.interrupt().totals.outstanding == Blocks(800, 50))
      #expect(eventually { ProbedCode.changes(in: program.processID) == [:] })
      try program.step()
      #expect(program.isRunning)
    }

    /// A gate works without us; the next trace takes it off, whether it wants one or not, and counts exactly.
    @Test(arguments: [[], ["--gate"]]) func killed(next: [String]) throws {
      let program = try program()
      let first = try Attachment(to: program, ["--gate"])
      kill(first.running.processID, SIGKILL)
      first.running.wait()
      try program.step()
      #expect(!ProbedCode.changes(in: program.processID).isEmpty)
      let second = try Attachment(to: program, next)
      try program.step()
      let report = try second.interrupt()
      #expect(report.totals.outstanding == Blocks(100_300, 2))
      #expect(report.probes.first { $0.function == "malloc" }?.kind == (next.isEmpty ? "uprobe.session" : "gate"))
      #expect(eventually { ProbedCode.changes(in: program.processID) == [:] })
      try program.step()
      #expect(program.isRunning)
      #expect(gates(in: program.processID) == 1)
    }

    /// The memory of a gate is used again by the next trace.
    @Test func memoryIsUsedAgain() throws {
      let program = try program()
      for options in [
        ["--gate"], ["--gate"], ["--gate", "--sample-bytes", "64K"], ["--gate", "--sample-bytes", "1M"],
      ] {
        let attachment = try Attachment(to: program, options)
        #expect(try attachment.interrupt().probes.contains { $0.kind == "gate" })
      }
      // One of every call, and one of samples.
      #expect(gates(in: program.processID) == 2)
      try program.step()
      #expect(program.isRunning)
    }

    /// Probes in the jumps of somebody else's gate would be the end of the process.
    @Test func isNotSharedWithAnotherTrace() throws {
      let program = try program()
      let first = try Attachment(to: program, ["--gate"])
      for options in [[], ["--gate"]] {
        let outcome = try LeakTrace.trace(options + ["-p", String(program.processID), "--duration", "1s"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("is traced through a gate by another leaktrace: end that one first"))
      }
      try program.step()
      #expect(try first.interrupt().totals.outstanding == Blocks(800, 50))
    }

    @Test func filteredProcessHasNone() throws {
      let running = try RunningProgram([try Programs.compile("leaks/seccomp.c")])
      try #require(running.readLine(timeout: patience) == "ready")
      let attachment = try Attachment(to: [running.processID], ["--gate"])
      let report = try attachment.interrupt()
      #expect(report.probes.allSatisfy { $0.kind != "gate" })
      #expect(report.notes.contains { $0.contains("has no gate") && $0.contains("seccomp") })
      #expect(kill(running.processID, 0) == 0 && processState(running.processID) != "Z")
    }

    private func gates(in processID: Int32) -> Int {
      String(decoding: contents(of: "/proc/\(processID)/maps"), as: UTF8.self).split(separator: "\n")
        .count { $0.contains("r-xp") && $0.contains("/memfd:leaktrace-gate") }
    }
  }
}
