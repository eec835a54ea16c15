import TestTools
import Testing

extension Privileged {
  /// Where blocks of a leaking stack are freed as a rule.
  @Suite struct FreePlacesTests {
    private func program() throws -> String {
      try Programs.compile("loads/forgotten.c", ["-g", "-O1", "-fno-builtin"])
    }

    @Test func theForgottenPathIsNamed() throws {
      let report = try LeakTrace.report(of: [program(), "20000"], ["--leak-check"])
      let site = try #require(report.sites.first { $0.functions.first == "session_open" })
      #expect(site.outstanding == Blocks(120 * 1000, 1000))
      #expect(site.allocated == Blocks(120 * 20_000, 20_000))
      let places = try #require(site.freedAt)
      // The innermost frame is the program's own: the function that was called to free is left out.
      #expect(places.map { $0.frames.first?.function } == ["session_close", "expire"])
      #expect(places.allSatisfy { $0.frames.contains { $0.function == "main" } })
      // Exactly 1,000 of 20,000 are never freed; which part is freed where is an estimate from some 300 frees.
      #expect(abs(places.reduce(0) { $0 + $1.share } - 0.95) < 1e-9)
      #expect(places.reduce(0) { $0 + $1.sampledCount } > 200)
      #expect(abs(places[0].share - 0.70) < 0.15)
      #expect(report.losses == [:])
    }

    @Test func theTextSaysWhereAndHowManyAreNot() throws {
      let outcome = try LeakTrace.trace(["--leak-check", "--", program(), "2000"])
      let lines = outcome.output.split(separator: "\n").filter { $0.contains(" % freed in ") }
      #expect(lines.count == 2)
      #expect(lines.first?.contains("session_close forgotten.c:11 < handle forgotten.c:") == true)
      #expect(lines.last?.contains("expire forgotten.c:13 < handle forgotten.c:") == true)
      #expect(lines.last?.hasSuffix(", 5 % not") == true)
    }

    /// Without a check nobody looks at frees, which makes them cheaper.
    @Test func withoutACheckFreesAreNotLookedAt() throws {
      let report = try LeakTrace.report(of: [program(), "2000"])
      #expect(report.sites.allSatisfy { $0.freedAt == nil })
    }
  }
}
