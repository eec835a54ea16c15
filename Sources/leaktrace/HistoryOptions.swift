import AllocationTracing
import ArgumentParser
import Glibc
import History
import ReportFormats
import TraceModel

/// Which part of a history a command looks at.
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
    let now = unixSeconds()
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

/// A moment on the command line: so long ago, or a date and time in UTC.
enum PointInTime {
  /// Seconds since 1970.
  static func parse(_ text: String, now: Double) throws -> Double {
    if let ago = try? TimeValue.parse(text, plainUnit: .seconds(1)) { return now - ago / .seconds(1) }
    let bytes = Array(text.utf8)
    let pattern = Array("0000-00-00T00:00:00".utf8)
    let isPlain = bytes.count == pattern.count || bytes.count == pattern.count + 1 && bytes.last == UInt8(ascii: "Z")
    let fits = zip(bytes, pattern).allSatisfy { byte, sample in
      sample == UInt8(ascii: "0") ? (0x30...0x39).contains(byte) : byte == sample || sample == 0x54 && byte == 0x20
    }
    guard isPlain, fits else {
      throw ValidationError("'\(text)' is no moment: write 2h (ago), or 2026-11-23T08:00:00Z")
    }
    func number(_ range: Range<Int>) -> Int32 { Int32(String(decoding: bytes[range], as: UTF8.self)) ?? 0 }
    var time = tm()
    time.tm_year = number(0..<4) - 1900
    time.tm_mon = number(5..<7) - 1
    time.tm_mday = number(8..<10)
    time.tm_hour = number(11..<13)
    time.tm_min = number(14..<16)
    time.tm_sec = number(17..<19)
    guard (0...11).contains(time.tm_mon), (1...31).contains(time.tm_mday), time.tm_hour < 24, time.tm_min < 60 else {
      throw ValidationError("'\(text)' is no date")
    }
    return Double(timegm(&time))
  }
}

/// Reads snapshots of a history as reports.
struct HistoryReading {
  private let store: HistoryStore
  private let path: String

  init(path: String) throws {
    self.path = path
    do { store = try HistoryStore(reading: path) } catch { throw TraceError("--history: \(error)") }
  }

  /// The last snapshot of each session in a stretch of time.
  func reports(in range: ClosedRange<Double>, target: String?) throws -> [Report] {
    let found = try snapshots(in: range, target)
    var last: [Int64: HistoryStore.Snapshot] = [:]
    for snapshot in found { last[snapshot.session] = snapshot }
    guard !last.isEmpty else { throw TraceError("--history \(path): there is no snapshot of that time and target") }
    return try last.values.sorted { $0.id < $1.id }.map { try report($0) }
  }

  /// The last snapshot until one moment and the first that began at another or later. Without one that began then, as in a
  /// trace that goes on, the first that ended later does.
  func pair(before: Double, after: Double, target: String?) throws -> (before: Report, after: Report) {
    guard let first = try snapshots(in: 0...before, target).last else {
      throw TraceError("--history \(path): there is no snapshot until --before")
    }
    let later = try snapshots(in: after...4e9, target).filter { $0.id != first.id }
    guard let second = later.first(where: { $0.start >= after }) ?? later.first else {
      throw TraceError("--history \(path): there is no snapshot since --after")
    }
    return (try report(first), try report(second))
  }

  private func snapshots(in range: ClosedRange<Double>, _ target: String?) throws -> [HistoryStore.Snapshot] {
    try read { () throws(HistoryError) in try store.snapshots(from: range.lowerBound, to: range.upperBound) }.filter {
      target == nil || $0.target == target || $0.processID.map(String.init) == target
        || $0.target.split(separator: " ").first?.split(separator: "/").last.map(String.init) == target
    }
  }

  private func report(_ snapshot: HistoryStore.Snapshot) throws -> Report {
    let bytes = try read { () throws(HistoryError) in try store.recording(of: snapshot.id) } ?? []
    do { return try ProfileFile.report(from: bytes) } catch {
      throw TraceError("--history \(path): snapshot \(snapshot.id): \(error)")
    }
  }

  private func read<Result>(_ body: () throws(HistoryError) -> Result) throws -> Result {
    do { return try body() } catch { throw TraceError("--history \(path): \(error)") }
  }
}
