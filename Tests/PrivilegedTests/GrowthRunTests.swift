import TestTools
import Testing

extension Privileged {
  /// Growth and retention of real programs.
  @Suite struct GrowthRunTests {
    @Test func words() throws {
      let program = try Programs.compile("loads/growth.c", ["-fno-builtin"])
      let outcome = try LeakTrace.trace(["--format", "json", "--", program, "9"])
      let report = try #require(try LeakReport.all(in: outcome.output).last)
      func growth(_ function: String) throws -> LeakReport.Growth {
        try #require(report.sites.first { $0.frames.contains { $0.function == function } }?.growth, "\(function)")
      }
      let leak = try growth("leak")
      #expect(leak.word == "growing", "\(leak)")
      // 100 bytes each 10 ms and what sleeping and tracing add to that.
      let (lower, upper) = (try #require(leak.lowerBytesPerSecond), try #require(leak.upperBytesPerSecond))
      #expect(lower > 0 && lower <= leak.slopeBytesPerSecond && leak.slopeBytesPerSecond <= upper)
      #expect((1000...10_100).contains(leak.slopeBytesPerSecond), "\(leak)")
      #expect(leak.windows >= 32 && leak.generationsAlive >= leak.windows - 2)
      #expect(leak.survival == 1)
      let cache = try growth("cached")
      #expect(["plateau", "unclear"].contains(cache.word), "\(cache)")
      #expect(try growth("begin").word == "startup")
    }

    @Test func shortRunsAreUnclear() throws {
      let program = try Programs.compile("loads/growth.c", ["-fno-builtin"])
      let outcome = try LeakTrace.trace(["--format", "json", "--", program, "2"])
      let report = try #require(try LeakReport.all(in: outcome.output).last)
      #expect(report.sites.contains { $0.growth != nil })
      #expect(report.sites.allSatisfy { $0.growth == nil || $0.growth?.word == "unclear" })
    }

    // MARK: Retention

    private func finding(_ mode: String) throws -> (free: LeakReport.Retention, trimmed: LeakReport.Retention) {
      let target = try TracedProgram([Programs.compile("loads/retention.c", ["-fno-builtin"]), mode])
      let attachment = try LeakAttachment(to: target)
      func retention() throws -> LeakReport.Retention {
        try #require(try attachment.freshReport().retention.first { $0.pid == target.processID })
      }
      let before = try retention()
      #expect(before.residentHeapGrowth < 4 << 20 && before.finding == nil)
      try target.step()
      let full = try retention()
      // All of it is outstanding.
      #expect(full.outstandingBytes == 100 << 20 && full.finding == nil, "\(full)")
      #expect(full.residentHeapGrowth > 100 << 20)
      try target.step()
      let free = try retention()
      try target.step()
      let trimmed = try retention()
      _ = try attachment.interrupt()
      return (free, trimmed)
    }

    /// Every thousandth block keeps the heap from being cut.
    @Test func scattered() throws {
      let (free, trimmed) = try finding("scattered")
      #expect(free.outstandingBytes == 409 * 256)
      let text = try #require(free.finding)
      #expect(text.hasPrefix("RSS of the heap grew by 1"))
      #expect(
        text.contains(" MiB while outstanding memory grew by 0.1 MiB: fragmentation or retention by the allocator"))
      #expect(text.contains("malloc_trim(0)"))
      // As the sentence says.
      #expect(trimmed.residentHeapBytes < 10 << 20 && trimmed.finding == nil, "\(trimmed)")
    }

    @Test func kept() throws {
      let (free, trimmed) = try finding("kept")
      #expect(free.outstandingBytes == 0 && free.residentHeapGrowth > 100 << 20)
      #expect(free.finding?.contains("not a leak") == true)
      #expect(trimmed.residentHeapBytes < 2 << 20 && trimmed.finding == nil, "\(trimmed)")
    }

    @Test func used() throws {
      let (free, _) = try finding("used")
      #expect(free.outstandingBytes == 100 << 20 && free.finding == nil)
    }
  }
}
