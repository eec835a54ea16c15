import Glibc
import TestTools
import Testing

extension Privileged {
  /// `verify` on recordings of a service that was rebuilt: Tests/Programs/leaks/service.c.
  @Suite struct VerifyRunTests {
    private let directory: TemporaryDirectory
    init() throws { directory = try TemporaryDirectory() }

    /// Records a run of a build of the service, which is always called `service`.
    private func record(
      _ name: String, _ flags: [String] = [], _ arguments: [String] = ["2000"], _ options: [String] = [],
      suffix: String = "pb.gz"
    ) throws -> String {
      let built = try Programs.compile("leaks/service.c", ["-fno-builtin", "-O1"] + flags)
      let home = directory.file(name)
      mkdir(home, 0o755)
      try run(["cp", built, home + "/service"])
      let recording = directory.file("\(name).\(suffix)")
      let outcome = try LeakTrace.trace(
        ["--leak-check", "--max-pause", "30s", "--output", recording] + options + ["--", home + "/service"] + arguments)
      guard outcome.status == 0 else { throw failed(outcome) }
      return recording
    }

    private func failed(_ outcome: LeakTrace.Outcome) -> ToolFailure {
      ToolFailure(command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }

    private struct Answer {
      var status: Int32
      var text: String
      func verdict(_ function: String) -> String? {
        let blocks = text.split(separator: "\n\n").map(String.init)
        return blocks.first { $0.contains("\t\(function)") }.map { String($0.prefix { $0.isUppercase }) }
      }
    }

    private func verify(_ before: String, _ after: String, _ options: [String] = []) throws -> Answer {
      let outcome = LeakTrace.finish(
        try RunningProgram([LeakTrace.program, "verify", before, after] + options, capturesErrors: true))
      #expect(outcome.errors == "")
      return Answer(status: outcome.status, text: outcome.output)
    }

    @Test func sameAndFixed() throws {
      let before = try record("before")
      let same = try verify(before, record("same", [], ["2000"], [], suffix: "json"))
      #expect(same.status == 1, "\(same.text)")
      #expect(same.verdict("parse") == "UNCHANGED" && same.verdict("remember") == "UNCHANGED")
      let fixed = try verify(before, record("fixed", ["-DFIXED"]))
      #expect(fixed.status == 0, "\(fixed.text)")
      #expect(fixed.verdict("parse") == "FIXED" && fixed.verdict("remember") == "FIXED")
      #expect(fixed.text.contains("another build of the program"))
      let partly = try verify(before, record("partly", ["-DPARTLY"]))
      #expect(partly.status == 1, "\(partly.text)")
      #expect(partly.verdict("parse") == "UNCHANGED" && partly.verdict("remember") == "FIXED")
      let worse = try verify(before, record("worse", ["-DWORSE"]))
      #expect(worse.status == 1, "\(worse.text)")
      #expect(worse.verdict("parse") == "WORSE" && worse.verdict("remember") == "UNCHANGED")
    }

    @Test func movedAndLessLoad() throws {
      let before = try record("before")
      let moved = try verify(before, record("moved", ["-DMOVED", "-g"]))
      #expect(moved.status == 1, "\(moved.text)")
      #expect(moved.verdict("parse") == "UNCHANGED" && moved.verdict("remember") == "UNCHANGED")
      let less = try verify(before, record("less", [], ["200"]))
      #expect(less.status == 1, "\(less.text)")
      #expect(less.verdict("parse") == "UNCHANGED" && less.verdict("remember") == "UNCHANGED")
    }

    @Test func cannotTell() throws {
      let before = try record("before")
      let few = try verify(before, record("few", ["-DFIXED"], ["3"]))
      #expect(few.status == 3 && few.text.contains("did too little"), "\(few.text)")
      let skipped = try record("skipped", ["-DFIXED"], ["2000", "skip"])
      let notRun = try verify(before, skipped)
      #expect(notRun.status == 3 && notRun.text.contains("not exercised"), "\(notRun.text)")
      #expect(try verify(before, skipped, ["--accept-gone"]).status == 0)
      let full = try verify(before, record("full", [], ["2000"], ["--exact", "--max-allocations", "8"]))
      #expect(full.status == 3 && full.text.contains("AFTER is incomplete"), "\(full.text)")
      let sizes = try verify(before, record("sizes", ["-DFIXED"], ["2000"], ["-z", "1K"]))
      #expect(sizes.status == 3 && sizes.text.contains("other options"), "\(sizes.text)")

      let other = directory.file("sleep.pb.gz")
      _ = try LeakTrace.trace(["--leak-check", "--output", other, "--", "sleep", "0.1"])
      let sleep = try verify(before, other)
      #expect(sleep.status == 3 && sleep.text.contains("AFTER of /usr/bin/sleep"), "\(sleep.text)")
      #expect(!sleep.text.contains("FIXED"))
      let junit = try verify(before, other, ["--format", "junit"])
      #expect(
        junit.status == 3 && junit.text.contains("errors=\"1\"")
          && junit.text.contains("<error message=\"cannot tell: "))
    }

    /// A recording holds what is not to be shown: two of one process are the same.
    @Test func kindsAreNotLost() throws {
      let (one, other) = (try record("one", [], ["2000"], ["--leak-kinds", "none"]), try record("other"))
      let answer = try verify(one, other)
      #expect(answer.verdict("parse") == "UNCHANGED" && answer.verdict("remember") == "UNCHANGED", "\(answer.text)")
    }
  }
}
