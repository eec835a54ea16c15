import Foundation
import TestTools

/// What the tests of leak checks read of one JSON report.
struct LeakReport: Decodable {
  var sites: [Site]
  var loss: [String: UInt64]
  var notes: [String]

  struct Site: Decodable {
    var pid: Int32
    var `class`: String
    var verdict: Verdict
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
  /// What every run of a leak check asks for.
  static let leakCheck = ["--leak-check", "--leak-kinds", "all"]

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
