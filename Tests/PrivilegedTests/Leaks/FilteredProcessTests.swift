import Glibc
import TestTools
import Testing

extension Privileged {
  /// A program that a filter of system calls kills when it goes on after a stop: Tests/Programs/leaks/seccomp.c.
  @Suite struct FilteredProcessTests {
    @Test func isNotStopped() throws {
      let running = try RunningProgram([try Programs.compile("leaks/seccomp.c")])
      try #require(running.readLine(timeout: patience) == "ready")
      let attachment = try LeakAttachment(to: [running.processID])
      for _ in 0..<3 {
        let report = try attachment.freshReport()
        #expect(report.leakChecks.first?.method == "running")
        #expect(report.leakChecks.first?.pausedSeconds == 0)
        #expect(report.leakChecks.first?.notes.first?.hasPrefix("not stopped: a filter of system calls") == true)
        #expect(kill(running.processID, 0) == 0 && processState(running.processID) != "Z")
      }
      _ = try attachment.interrupt()
    }
  }
}
