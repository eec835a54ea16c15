import Foundation
import TestTools

/// What the tests of leak checks read of one JSON report.
struct LeakReport: Decodable {
  var sites: [Site]
  var loss: [String: UInt64]
  var leakChecks: [Check]
  var retention: [Retention]
  var notes: [String]

  struct Retention: Decodable {
    var pid: Int32
    var residentHeapBytes: UInt64
    var mappedHeapBytes: UInt64
    var outstandingBytes: UInt64
    var residentHeapGrowth: Int64
    var outstandingGrowth: Int64
    var finding: String?
  }

  struct Holder: Decodable {
    var kind: String
    var words: String
    var name: String?
    var file: String?
    var line: Int?
    var through: [Step]
    var count: UInt64
    var share: Double

    struct Step: Decodable {
      var function: String?
      var container: String?
      var sameSite: Bool
    }
  }

  struct Growth: Decodable {
    var word: String
    var slopeBytesPerSecond: Double
    var lowerBytesPerSecond: Double?
    var upperBytesPerSecond: Double?
    var windows: Int
    var generationsAlive: Int
    var survival: Double?
  }

  struct Check: Decodable {
    var pid: Int32
    var method: String
    var pausedSeconds: Double
    var definitelyLost: Tally
    var indirectlyLost: Tally
    var possiblyLost: Tally
    var stillReachable: Tally
    var unchecked: Tally
    var notes: [String]
  }

  struct Site: Decodable {
    var pid: Int32
    var `class`: String
    var verdict: Verdict
    var heldBy: [Holder]?
    var growth: Growth?
    var frames: [Frame]
    var allocations: [Allocation]
  }

  struct Verdict: Decodable {
    var definitelyLost: Tally
    var indirectlyLost: Tally
    var possiblyLost: Tally
    var stillReachable: Tally
    var unchecked: Tally
  }

  struct Tally: Decodable {
    var bytes: UInt64
    var count: UInt64
  }

  struct Frame: Decodable { var function: String? }

  struct Allocation: Decodable {
    var address: String
    var size: UInt64
    var verdict: String
    /// The interpreter's heap that alone refers to it.
    var holder: String?
  }

  init(json: some StringProtocol) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(LeakReport.self, from: Data(json.utf8))
  }

  /// Every report on standard output; other lines are the traced program's own.
  static func all(in output: String) throws -> [LeakReport] {
    try output.split(separator: "\n").filter { $0.hasPrefix("{\"schema\"") }.map { try LeakReport(json: $0) }
  }

  /// Losses that are not 0.
  var losses: [String: UInt64] { loss.filter { $0.value != 0 } }

  /// What the checks have to say beside their numbers.
  var checkNotes: [String] { leakChecks.flatMap(\.notes) }

  /// Verdicts of the single blocks of one size and how many have them, with the holder in parentheses; for reports with
  /// `-a`.
  func verdicts(ofSize size: UInt64) -> [String: Int] {
    var counts: [String: Int] = [:]
    for block in sites.flatMap(\.allocations) where block.size == size {
      counts[block.verdict + (block.holder.map { " (\($0))" } ?? ""), default: 0] += 1
    }
    return counts
  }

  /// Heap blocks by site. Mappings of the program are no blocks to memcheck.
  var records: [LeakRecord] {
    sites.filter { $0.class == "heap" }.map { site in
      LeakRecord(
        processID: site.pid,
        kinds: LeakKinds(
          definite: (site.verdict.definitelyLost.bytes, site.verdict.definitelyLost.count),
          indirect: (site.verdict.indirectlyLost.bytes, site.verdict.indirectlyLost.count),
          possible: (site.verdict.possiblyLost.bytes, site.verdict.possiblyLost.count),
          reachable: (site.verdict.stillReachable.bytes, site.verdict.stillReachable.count)),
        functions: site.frames.map { $0.function ?? "?" })
    }
  }

  /// Heap blocks without a verdict.
  var unchecked: UInt64 { sites.filter { $0.class == "heap" }.reduce(0) { $0 + $1.verdict.unchecked.count } }
}

extension LeakTrace {
  /// What every run of a leak check asks for. On a busy host a check takes its time, and is to be complete nevertheless.
  static let leakCheck = ["--leak-check", "--leak-kinds", "all", "--max-pause", "30s"]

  /// Runs a command under trace and checks it at its exit. The one report, in which nothing is missing.
  static func leakReport(
    of command: [String], _ options: [String] = [], environment: [String: String] = [:]
  ) throws -> LeakReport {
    let outcome = try trace(
      ["--format", "json"] + leakCheck + options + ["--"] + command, environment: environment)
    let reports = try LeakReport.all(in: outcome.output)
    guard outcome.status == 0, reports.count == 1 else {
      throw ToolFailure(
        command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return reports[0]
  }
}
