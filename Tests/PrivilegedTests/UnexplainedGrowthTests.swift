import Glibc
import TestTools
import Testing

extension Privileged {
  /// Memory that a process takes past everything that is probed: Tests/Programs/loads/unseen.c.
  @Suite struct UnexplainedGrowthTests {
    private static let size: UInt64 = 16 << 20

    @Test(arguments: [
      ("anonymous", "anonymous"), ("shared", "shared_memory"), ("segment", "shared_memory"), ("file", "file"),
      ("break", "heap"),
    ])
    func isToldWithItsClass(kind: String, name: String) throws {
      let program = try TracedProgram([Programs.compile("loads/unseen.c", ["-fno-builtin"]), kind])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.report { $0.unexplainedGrowth != nil }
      let growth = try #require(report.unexplainedGrowth?.first)
      #expect(growth.pid == program.processID)
      #expect(growth.parts == [.init(class: name, bytes: Self.size)])
      // The kernel's sum of resident pages is behind by some of each processor's.
      #expect((Self.size - (1 << 20)...Self.size).contains(growth.bytes))
      #expect(report.totals.outstandingBytes < Self.size)
      _ = try attachment.interrupt()
    }

    /// What was reserved before, what the report shows, and the page cache.
    @Test(arguments: ["touched", "mapped", "allocated", "page-cache", "freed"])
    func isNotSaidOfWhatIsExplained(kind: String) throws {
      let program = try TracedProgram([Programs.compile("loads/unseen.c", ["-fno-builtin"]), kind])
      let attachment = try Attachment(to: program)
      try program.step()
      for _ in 0..<4 { #expect(try attachment.nextReport().unexplainedGrowth == nil) }
      #expect(try attachment.interrupt().unexplainedGrowth == nil)
    }

    @Test func theFirstLineSaysIt() throws {
      let program = try TracedProgram([Programs.compile("loads/unseen.c", ["-fno-builtin"]), "anonymous"])
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "-p", String(program.processID), "--format", "text", "100ms"],
        capturesErrors: true)
      defer { _ = kill(running.processID, SIGINT) }
      _ = running.readLine(timeout: patience)
      try program.step()
      #expect(
        eventually {
          let line = running.readLine(timeout: patience)
          return line.contains("CANNOT TELL   grew by 1")
            && line.contains("MiB, unexplained: anonymous memory")
        })
    }
  }
}
