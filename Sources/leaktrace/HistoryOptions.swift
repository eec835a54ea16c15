import ArgumentParser
import Scheduling
import Session
import SystemSupport
import TraceModel

/// The options that select the part of a history at which a command looks.
struct HistoryOptions: ParsableArguments {
  @Option(name: .customLong("history"), help: "Add up the snapshots of this history, which watch keeps.")
  var path: String?

  @Option(help: "With --history: from this moment on: 2h (ago), or 2026-11-23T08:00:00Z. Default 1h.")
  var since: String?

  @Option(help: "With --history: until this moment.")
  var until: String?

  @Option(name: .customLong("target"), help: "With --history: only snapshots of this process id or command.")
  var target: String?

  func check() throws {
    if path == nil, since != nil || until != nil || target != nil {
      throw ValidationError("--since, --until and --target go with --history")
    }
    _ = try range()
  }

  func range() throws -> ClosedRange<Double> {
    let now = SystemClock().unixSeconds
    let start = try PointInTime.parse(since ?? "1h", now: now)
    let end = try until.map { try PointInTime.parse($0, now: now) } ?? now + 1
    guard start <= end else { throw ValidationError("--since must not be later than --until") }
    return start...end
  }

  func reports() throws -> [Report] {
    guard let path else { return [] }
    return try HistoryReading(path: path).reports(in: try range(), target: target)
  }
}
