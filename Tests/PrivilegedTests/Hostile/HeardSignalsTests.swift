import Glibc
import TestTools
import Testing

extension Privileged {
  /// Signals that come while leaktrace does something that takes long.
  @Suite struct HeardSignalsTests {
    /// A command of the user's that does not end: leaktrace says that it has heard, and ends without it.
    @Test func aStepWithoutEndEnds() throws {
      let program = try TracedProgram([Programs.compile("options.c", ["-fno-builtin"]), "order"])
      let attachment = try Attachment(
        to: program, ["--on-report", "echo begun; exec sleep 60"], waitsForReport: false)
      #expect(eventually { attachment.running.readErrorLine(timeout: patience) == "begun" })
      let held = try KernelPrograms.held(by: attachment.running.processID)
      kill(attachment.running.processID, SIGTERM)
      #expect(attachment.running.readErrorLine(timeout: patience).hasPrefix("leaktrace: told to end"))
      #expect(attachment.running.wait() == 143)
      #expect(try KernelPrograms.remainingForGood(of: held).isEmpty)
      try program.step()
      #expect(program.isRunning)
    }
  }
}
