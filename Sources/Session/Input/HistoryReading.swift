import AllocationTracing
import History
import ReportFormats
import SystemSupport
import TraceModel

/// Reads the snapshots of a history and returns them as reports.
package struct HistoryReading {
  private let store: HistoryStore
  private let path: String

  package init(path: String) throws {
    self.path = path
    do { store = try HistoryStore(reading: path) } catch { throw Refusal("--history: \(error)") }
  }

  /// The last snapshot of each session within a range of time.
  package func reports(in range: ClosedRange<Double>, target: String?) throws -> [Report] {
    let found = try snapshots(in: range, target)
    var last: [Int64: HistoryStore.Snapshot] = [:]
    for snapshot in found { last[snapshot.session] = snapshot }
    guard !last.isEmpty else { throw Refusal("--history \(path): there is no snapshot of that time and target") }
    return try last.values.sorted { $0.id < $1.id }.map { try report($0) }
  }

  /// The last snapshot until `before`, and the first one that began at `after` or later. If none began that late, as in
  /// a trace that goes on, the first one that ended later is taken.
  package func pair(before: Double, after: Double, target: String?) throws -> (before: Report, after: Report) {
    guard let first = try snapshots(in: 0...before, target).last else {
      throw Refusal("--history \(path): there is no snapshot until --before")
    }
    let later = try snapshots(in: after...4e9, target).filter { $0.id != first.id }
    guard let second = later.first(where: { $0.start >= after }) ?? later.first else {
      throw Refusal("--history \(path): there is no snapshot since --after")
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
      throw Refusal("--history \(path): snapshot \(snapshot.id): \(error)")
    }
  }

  private func read<Result>(_ body: () throws(HistoryError) -> Result) throws -> Result {
    do { return try body() } catch { throw Refusal("--history \(path): \(error)") }
  }
}
