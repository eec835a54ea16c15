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

    /// The verdicts of a check add up to what is outstanding, of each stack and of all, while the program runs on.
    @Test func verdictsAddUpWhileTheProgramRuns() throws {
      let directory = try TemporaryDirectory()
      let program = try RunningProgram([Programs.compile("loads/many_stacks.c"), "2000000000"])
      defer { kill(program.processID, SIGKILL) }
      let files = ["a.json", "a.txt", "a.massif"].map(directory.file)
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "-p", String(program.processID), "--leak-check", "300ms", "3"]
          + files.flatMap { ["--output", $0] }, capturesErrors: true)
      let outcome = LeakTrace.finish(running)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let report = try decoder.decode(CheckedReport.self, from: Data(contents(of: files[0])))
      #expect(report.sites.count > 10)
      for site in report.sites {
        #expect(CheckedReport.sum(site.verdict) == Blocks(site.outstandingBytes, site.outstandingCount))
      }
      let total = Blocks(report.totals.outstandingBytes, report.totals.outstandingCount)
      let check = try #require(report.leakChecks.first)
      #expect(
        CheckedReport.sum([
          check.definitelyLost, check.indirectlyLost, check.possiblyLost, check.stillReachable, check.unchecked,
        ]) == total)
      // `outstanding:  24 bytes in 1 block`, with commas in numbers.
      let text = try #require(lines(files[1]).first { $0.contains("outstanding: ") })
      let numbers = text.filter { $0 != "," }.split { !$0.isNumber && $0 != "." }.compactMap { UInt64($0) }
      #expect(numbers.first == total.bytes && numbers.last == total.count, "\(text)")
      #expect(lines(files[2]).last { $0.hasPrefix("mem_heap_B=") } == "mem_heap_B=\(total.bytes)")
    }

    private func lines(_ path: String) -> [String] {
      String(decoding: contents(of: path), as: UTF8.self)
        .split(whereSeparator: \.isNewline).map(String.init)
    }
  }
}

/// What a checked report says of verdicts.
private struct CheckedReport: Decodable {
  struct Part: Decodable { var bytes: UInt64, count: UInt64 }
  struct Totals: Decodable { var outstandingBytes: UInt64, outstandingCount: UInt64 }
  struct Site: Decodable {
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var verdict: [String: Part]
  }
  struct Check: Decodable {
    var definitelyLost: Part
    var indirectlyLost: Part
    var possiblyLost: Part
    var stillReachable: Part
    var unchecked: Part
  }

  var totals: Totals
  var sites: [Site]
  var leakChecks: [Check]

  static func sum(_ verdict: [String: Part]) -> Blocks { sum(Array(verdict.values)) }
  static func sum(_ parts: [Part]) -> Blocks {
    parts.reduce(into: Blocks(0, 0)) { $0 += Blocks($1.bytes, $1.count) }
  }
}

extension Collection where Self: BidirectionalCollection {
  fileprivate func suffix(while isPart: (Element) -> Bool) -> SubSequence {
    var start = endIndex
    while start > startIndex, isPart(self[index(before: start)]) { start = index(before: start) }
    return self[start...]
  }
}
