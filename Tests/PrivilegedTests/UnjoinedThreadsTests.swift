import TestTools
import Testing

extension Privileged {
  /// Tests/Programs/unjoined.c: of the threads of each step 12 are not joined, 24 are, and 6 are detached.
  @Suite struct UnjoinedThreadsTests {
    private func attached(_ steps: Int) throws -> TraceReport {
      let program = try TracedProgram([Programs.compile("unjoined.c", ["-fno-builtin"])])
      let attachment = try Attachment(to: program)
      for _ in 0..<steps { try program.step() }
      return try attachment.interrupt()
    }

    @Test(arguments: [1, 3]) func areCountedWithWhoCreatedThem(steps: Int) throws {
      let report = try attached(steps)
      let threads = try #require(report.threads?.first)
      #expect(threads.running == 1)
      let ended = try #require(threads.endedNotJoined)
      #expect(ended.count == 1)
      #expect(ended.first?.count == 12 * steps)
      #expect(ended.first?.start.first?.function == "client_main")
      #expect(ended.first?.creator.contains { $0.function == "start_client" } == true)
      #expect(ended.first?.creator.contains { $0.function == "start_ok" } == false)
      #expect(threads.residentBytes < threads.reservedBytes / 64)
      #expect(threads.reservedBytes >= UInt64(12 * steps) * (8 << 20))
    }

    /// Stacks are addresses mostly, and who needed a new one because others are kept is not to blame.
    @Test func stacksAreNoBlocks() throws {
      let report = try attached(2)
      #expect(report.outstanding(class: "mapping") == Blocks(0, 0))
      #expect(report.totals.outstandingBytes < 1 << 20)
      #expect(report.losses == [:])
    }

    @Test func theFirstScreenNamesThem() throws {
      let outcome = try LeakTrace.trace(
        ["--format", "text", "--", Programs.compile("unjoined.c", ["-fno-builtin"])])
      let lines = outcome.output.split(separator: "\n").prefix(12)
      #expect(lines.first?.contains("ended threads are not joined") == true)
      #expect(lines.contains { $0.contains("ended and not joined; stacks") })
      #expect(lines.contains { $0.contains("that began in client_main") })
      #expect(!lines.contains { $0.contains("start_ok") })
    }
  }
}
