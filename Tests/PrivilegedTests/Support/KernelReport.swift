import Foundation
import TestTools

/// What the tests read of one JSON report of the kernel.
struct KernelReport: Decodable {
  var target: TraceReport.Target
  var window: TraceReport.Window
  var sampling: TraceReport.Sampling?
  var totals: TraceReport.Totals
  var loss: [String: UInt64]
  var sites: [Site]
  var kernel: Summary
  var notes: [String]

  struct Site: Decodable {
    var pid: Int32
    var `class`: String
    var allocator: String
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var allocatedBytes: UInt64
    var allocatedCount: UInt64
    var freedCount: UInt64
    var outstandingBytesStandardError: Double?
    var oldestAgeSeconds: Double?
    var stackComplete: Bool
    var stackCompleteness: String
    var growth: Growth?
    var kernel: Details
    var frames: [TraceReport.Frame]
    var allocations: [TraceReport.Allocation]

    var outstanding: Blocks { Blocks(outstandingBytes, outstandingCount) }
    var functions: [String] { frames.map { $0.function ?? "?" } }
    /// Bytes of one block, where all are alike.
    var blockSize: UInt64 { outstandingCount == 0 ? 0 : outstandingBytes / outstandingCount }
    /// Every name of its cache.
    var cacheNames: [String] { [kernel.cache].compactMap { $0 } + kernel.aliases }
  }

  struct Growth: Decodable { var word: String }

  struct Details: Decodable {
    var cache: String?
    var aliases: [String]
    var reclaimable: Bool
    var suspect: Bool
    var reusedCount: UInt64
    var doubt: String?
    var processes: [Share]
  }

  struct Share: Decodable {
    var pid: Int32?
    var command: String?
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
  }

  struct Summary: Decodable {
    var hooks: [Hook]
    var shares: [MemoryShare]
    var caches: [Cache]
    var leftOut: [LeftOut]
    var counters: [String: UInt64]
    var processes: [Share]
    var findings: [String]
    var slabUse: [Use]
    var vmallocUse: [Use]
  }

  struct Hook: Decodable {
    var name: String
    var method: String?
    var detail: String?
  }

  struct MemoryShare: Decodable {
    var name: String
    var bytes: UInt64
    var changeBytes: Int64?
    var tracedBytes: UInt64?
    var kernel: Bool
  }

  struct Cache: Decodable {
    var name: String
    var activeChange: Int64
    var tracedCount: UInt64
  }

  struct LeftOut: Decodable {
    var reason: String
    var outstandingCount: UInt64
  }

  struct Use: Decodable {
    var name: String
    var bytes: UInt64
  }

  init(json: some StringProtocol) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(KernelReport.self, from: Data(json.utf8))
  }

  /// Sites with this function on the stack, those that the kernel itself contradicts left out. A function that has
  /// several names, by the kernel's version and by what its compiler inlined: all of them with bars in between.
  func sites(in function: String, class: String? = nil) -> [Site] {
    let names = function.split(separator: "|").map(String.init)
    return sites.filter { site in
      names.contains { site.functions.contains($0) } && (`class` == nil || site.class == `class`)
        && site.kernel.doubt == nil
    }
  }

  /// What is outstanding from this function and those it calls, in one cache if it is named.
  func outstanding(in function: String, class: String? = nil, cache: String? = nil) -> Blocks {
    sites(in: function, class: `class`).filter { cache == nil || $0.cacheNames.contains(cache!) }
      .reduce(into: Blocks(0, 0)) { $0 += $1.outstanding }
  }

  /// Losses that are not 0 and not of the host's other work.
  var losses: [String: UInt64] {
    loss.filter {
      $0.value != 0 && !["missedFrees", "recursionMisses", "missed_frees", "recursion_misses"].contains($0.key)
    }
  }

  func method(of hook: String) -> String? { kernel.hooks.first { $0.name == hook }?.method }
}

/// `leaktrace kernel`, reporting five times a second.
final class KernelTrace {
  let running: RunningProgram

  /// Returns with the first report, when every probe is on.
  init(_ options: [String], interval: String = "200ms") throws {
    running = try RunningProgram(
      [LeakTrace.program, "kernel", "--format", "json"] + options + [interval], capturesErrors: true)
    _ = try nextReport()
  }

  /// Of one process, with all stacks: what else the host does is not in it.
  convenience init(of program: TracedProgram, _ options: [String] = []) throws {
    try self.init(["-p", String(program.processID), "--stacks", "all", "--all"] + options)
  }

  /// The next report that leaktrace makes on its own.
  func nextReport() throws -> KernelReport {
    let line = running.readLine(timeout: patience)
    if let report = try? KernelReport(json: line) { return report }
    let outcome = LeakTrace.finish(running)
    throw ToolFailure(
      command: "leaktrace", status: outcome.status, output: line + outcome.output + outcome.errors)
  }

  /// Waits until a report satisfies the condition; the last one in any case.
  func report(within seconds: Double = patience, until isDone: (KernelReport) -> Bool) throws -> KernelReport {
    let end = secondsNow() + seconds
    var report = try nextReport()
    while !isDone(report), secondsNow() < end { report = try nextReport() }
    return report
  }

  /// A report of what is so when this is called: the one under way may be of before.
  func report() throws -> KernelReport {
    _ = try nextReport()
    return try nextReport()
  }
}

extension LeakTrace {
  /// Runs `leaktrace kernel` to its end.
  static func kernel(_ arguments: [String]) throws -> Outcome {
    finish(try RunningProgram([program, "kernel"] + arguments, capturesErrors: true))
  }

  /// The one report of such a run.
  static func kernelReport(_ arguments: [String]) throws -> KernelReport {
    let outcome = try kernel(["--format", "json"] + arguments)
    let lines = outcome.output.split(separator: "\n")
    guard outcome.status == 0, lines.count == 1 else {
      throw ToolFailure(command: "leaktrace", status: outcome.status, output: outcome.output + outcome.errors)
    }
    return try KernelReport(json: lines[0])
  }
}
