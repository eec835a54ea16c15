import Foundation
import TestTools
import Testing

extension Privileged {
  /// Groups that need something recorded for them.
  @Suite struct GroupingTests {
    private func record(_ options: [String], in directory: TemporaryDirectory) throws -> String {
      let recording = directory.file("recording.pb.gz")
      let outcome = try LeakTrace.trace(
        options + ["--no-mappings", "--output", recording, "--", Programs.compile("named_threads.c")])
      #expect(outcome.status == 0)
      return recording
    }

    private func grouped(_ recording: String, by name: String) throws -> TraceReport {
      try TraceReport(json: run([LeakTrace.program, "report", recording, "--by", name, "--format", "json"]))
    }

    @Test func threads() throws {
      let directory = try TemporaryDirectory()
      let report = try grouped(record(["--threads"], in: directory), by: "thread")
      let malloc = report.sites.filter { $0.allocator == "malloc" }
      // The threads named beta are two.
      #expect(malloc.map { $0.frames.map(\.function) } == [["first"], ["beta"], ["alpha"]])
      #expect(malloc.map(\.outstanding) == [Blocks(4000, 1), Blocks(1300, 5), Blocks(100, 1)])
      #expect(report.losses == [:])
    }

    @Test func threadsThatWereNotToldApart() throws {
      let directory = try TemporaryDirectory()
      let recording = try record([], in: directory)
      let failed = try RunningProgram([LeakTrace.program, "report", recording, "--by", "thread"], capturesErrors: true)
      let outcome = LeakTrace.finish(failed)
      #expect(outcome.status == 2)
      #expect(outcome.errors.contains("trace --threads"))
      // Without it, one site: the same stack in all threads but the first.
      let report = try TraceReport(json: run([LeakTrace.program, "report", recording, "--format", "json"]))
      let sites = report.sites.filter { $0.frames.contains { $0.function == "run" } }
      #expect(sites.map(\.outstanding) == [Blocks(1400, 6)])
    }

    @Test func controlGroup() throws {
      let directory = try TemporaryDirectory()
      let report = try grouped(record([], in: directory), by: "cgroup")
      let lines = String(decoding: try Data(contentsOf: URL(filePath: "/proc/self/cgroup")), as: UTF8.self)
        .split(separator: "\n").map { $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false) }
      let own = lines.first { $0[1].split(separator: ",").contains("memory") } ?? lines.first { $0[1] == "" }
      let path = try #require(own).last.map(String.init)
      #expect(Set(report.sites.flatMap { $0.frames.map(\.function) }) == [path])
    }
  }
}
