import Foundation
import Glibc
import TestTools
import Testing

extension Privileged {
  /// Every destination of a round shows the same snapshot.
  @Suite struct SnapshotTests {
    /// A program that allocates and frees without a pause: two snapshots of it are never the same.
    @Test(arguments: ["bytes", "growth"]) func filesOfOneRunAgree(order: String) throws {
      let directory = try TemporaryDirectory()
      let program = try RunningProgram([Programs.compile("loads/many_stacks.c"), "2000000000"])
      defer { kill(program.processID, SIGKILL) }
      let files = ["a.json", "b.json", "a.csv", "a.memleak"].map(directory.file)
      let outputs = files.flatMap { ($0 == files[3] ? ["--format", "memleak"] : []) + ["--output", $0] }
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "-p", String(program.processID), "--sort", order, "300ms", "2"] + outputs,
        capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 0, "\(outcome.errors)")

      let (first, second, csv, text) = (
        contents(of: files[0]), contents(of: files[1]), lines(files[2]), lines(files[3])
      )
      #expect(first == second)
      let reports = try first.split(separator: 0x0a).map { try TraceReport(json: String(decoding: $0, as: UTF8.self)) }
      #expect(reports.count == 1, "a file holds the last report")
      let last = try #require(reports.last)
      #expect(last.totals.outstandingCount > 10)

      let columns = try #require(csv.first).split(separator: ",")
      let bytes = try #require(columns.firstIndex(of: "outstanding_bytes"))
      let count = try #require(columns.firstIndex(of: "outstanding_count"))
      let heading = try #require(csv.lastIndex(of: csv[0]))
      let rows = csv[(heading + 1)...].map { $0.split(separator: ",", omittingEmptySubsequences: false) }
      #expect(rows.map { UInt64($0[bytes]) } == last.sites.map(\.outstandingBytes))
      #expect(rows.map { UInt64($0[count]) } == last.sites.map(\.outstandingCount))

      // `24 bytes in 1 allocations from stack`; the format shows ten of them.
      let shown = text.suffix(while: { !$0.contains("Top ") }).filter { $0.contains(" from stack") }.map { line in
        line.split(whereSeparator: { !$0.isNumber }).prefix(2).map { UInt64($0) }
      }
      #expect(shown == last.sites.prefix(10).map { [$0.outstandingBytes, $0.outstandingCount] })
    }

    private func lines(_ path: String) -> [String] {
      String(decoding: contents(of: path), as: UTF8.self)
        .split(whereSeparator: \.isNewline).map(String.init)
    }
  }
}

extension Collection where Self: BidirectionalCollection {
  fileprivate func suffix(while isPart: (Element) -> Bool) -> SubSequence {
    var start = endIndex
    while start > startIndex, isPart(self[index(before: start)]) { start = index(before: start) }
    return self[start...]
  }
}
