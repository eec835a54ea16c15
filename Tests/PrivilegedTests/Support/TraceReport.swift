import Foundation

/// What the tests read of one JSON report.
struct TraceReport: Decodable {
  var schema: String
  var target: Target
  var window: Window
  var probes: [Probe]
  var sampling: Sampling?
  var totals: Totals
  var processes: [Process]
  var loss: [String: UInt64]
  var sites: [Site]
  var notes: [String]
  var unexplainedGrowth: [Unexplained]?
  var threads: [Threads]?

  struct Threads: Decodable {
    struct Ended: Decodable {
      var count: Int
      var start: [Frame]
      var creator: [Frame]
    }
    var running: Int
    var reservedBytes: UInt64
    var residentBytes: UInt64
    var endedNotJoined: [Ended]?
  }

  struct Unexplained: Decodable {
    struct Part: Decodable, Equatable {
      var `class`: String
      var bytes: UInt64
    }
    var pid: Int32
    var bytes: UInt64
    var parts: [Part]
  }

  struct Target: Decodable {
    var kind: String
    var pid: Int32?
    var command: String?
    var executable: String?
    var exitStatus: Int32?
  }

  struct Window: Decodable { var durationSeconds: Double }

  struct Probe: Decodable {
    var function: String
    var object: String
    var offset: UInt64
    var emulated: Bool
    var kind: String
    var hits: UInt64
  }

  struct Sampling: Decodable {
    var meanBytes: UInt64
    var everyNth: UInt64?
    var thinnedAfterSeconds: Double?
    var thinnedBeyondBlocks: UInt64?
  }

  struct Totals: Decodable {
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var allocatedBytes: UInt64
    var allocatedCount: UInt64
    var freedBytes: UInt64
    var freedCount: UInt64
    var unmatchedFrees: UInt64
    var outstandingBytesStandardError: Double?

    var outstanding: Blocks { Blocks(outstandingBytes, outstandingCount) }
    var allocated: Blocks { Blocks(allocatedBytes, allocatedCount) }
    var freed: Blocks { Blocks(freedBytes, freedCount) }
  }

  struct Process: Decodable {
    var pid: Int32
    var parentPid: Int32?
    var command: String
    var state: String
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var allocatedBytes: UInt64
    var allocatedCount: UInt64
    var freedBytes: UInt64
    var freedCount: UInt64
    var unmatchedFrees: UInt64

    var outstanding: Blocks { Blocks(outstandingBytes, outstandingCount) }
    var allocated: Blocks { Blocks(allocatedBytes, allocatedCount) }
    var freed: Blocks { Blocks(freedBytes, freedCount) }
  }

  struct Site: Decodable {
    var pid: Int32
    var `class`: String
    var allocator: String
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var allocatedBytes: UInt64
    var allocatedCount: UInt64
    var freedBytes: UInt64
    var freedCount: UInt64
    var outstandingBytesStandardError: Double?
    var oldestAgeSeconds: Double?
    var stackComplete: Bool
    var stackCompleteness: String
    var frames: [Frame]
    var allocations: [Allocation]
    var freedAt: [FreePlace]?

    var outstanding: Blocks { Blocks(outstandingBytes, outstandingCount) }
    var allocated: Blocks { Blocks(allocatedBytes, allocatedCount) }
    var freed: Blocks { Blocks(freedBytes, freedCount) }
    /// Names of the frames from the allocator's caller on, `?` where there is none.
    var functions: [String] { frames.map { $0.function ?? "?" } }
  }

  struct Frame: Decodable {
    var address: String
    var function: String?
    var module: String?
    var inlined: Bool
  }

  struct FreePlace: Decodable {
    var share: Double
    var sampledCount: UInt64
    var frames: [Frame]
  }

  struct Allocation: Decodable {
    var address: String
    var size: UInt64
    var ageSeconds: Double
  }

  init(json: some StringProtocol) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    // Names of loss counters are keys, too, and come out in camel case.
    self = try decoder.decode(TraceReport.self, from: Data(json.utf8))
  }

  /// Losses that are not 0.
  var losses: [String: UInt64] { loss.filter { $0.value != 0 } }

  /// Sites with this function on the stack.
  func sites(in function: String) -> [Site] { sites.filter { $0.functions.contains(function) } }

  /// What is outstanding from this function and those it calls.
  func outstanding(in function: String, class: String? = nil) -> Blocks {
    sites(in: function).filter { `class` == nil || $0.class == `class` }
      .reduce(into: Blocks(0, 0)) { $0 += $1.outstanding }
  }

  /// What is outstanding of one class, `heap` or `mapping`.
  func outstanding(class: String) -> Blocks {
    sites.filter { $0.class == `class` }.reduce(into: Blocks(0, 0)) { $0 += $1.outstanding }
  }
}

/// A number of bytes in a number of blocks.
struct Blocks: Equatable, CustomStringConvertible {
  var bytes: UInt64
  var count: UInt64

  init(_ bytes: UInt64, _ count: UInt64) {
    self.bytes = bytes
    self.count = count
  }

  static func += (sum: inout Blocks, part: Blocks) {
    sum.bytes += part.bytes
    sum.count += part.count
  }

  var description: String { "\(bytes) bytes in \(count) blocks" }
}
