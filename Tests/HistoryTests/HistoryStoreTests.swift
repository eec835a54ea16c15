import Glibc
import History
import ReportFormats
import TestTools
import Testing
import TraceModel

@Suite struct HistoryStoreTests {
  static func report(start: Double, seconds: Int, bytes: UInt64, function: String = "leak") -> Report {
    var report = Report(
      target: Report.Target(kind: .process, processID: 42, command: "server"),
      window: Report.Window(startInUnixSeconds: start, duration: .seconds(seconds)))
    report.totals.outstanding = Tally(bytes: bytes, count: 1)
    report.sites = [
      AllocationSite(
        processID: 42, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: bytes, count: 1),
        allocated: Tally(bytes: bytes, count: 1), freed: Tally(),
        stack: StackTrace(addresses: [4096], completeness: .complete),
        frames: [Frame(address: 4096, function: function, module: "/bin/server")])
    ]
    return report
  }

  @Test func givesBackWhatWasSaved() throws {
    let directory = try TemporaryDirectory()
    let store = try HistoryStore(path: directory.file("history.db"))
    try store.save(Self.report(start: 1000, seconds: 10, bytes: 100), session: 1, reason: "interval")
    try store.save(Self.report(start: 1000, seconds: 20, bytes: 300), session: 1, reason: "growth")
    try store.save(Self.report(start: 2000, seconds: 10, bytes: 7, function: "other"), session: 2, reason: "oom")
    let reader = try HistoryStore(reading: directory.file("history.db"))
    let snapshots = try reader.snapshots(from: 1000, to: 3000)
    #expect(snapshots.map(\.outstandingBytes) == [100, 300, 7])
    #expect(snapshots.map(\.session) == [1, 1, 2])
    #expect(snapshots.map(\.reason) == ["interval", "growth", "oom"])
    #expect(snapshots.map(\.end) == [1010, 1020, 2010])
    #expect(try reader.snapshots(from: 1015, to: 1025).count == 1)
    let again = try ProfileFile.report(from: try #require(try reader.recording(of: snapshots[1].id)))
    #expect(again.totals.outstanding.bytes == 300)
    #expect(again.sites.first?.frames.first?.function == "leak")
    let site = HistoryStore.identity(of: Self.report(start: 0, seconds: 1, bytes: 1).sites[0])
    #expect(try reader.course(ofSite: site, since: 0).map(\.bytes) == [100, 300])
    var status = stat()
    stat(directory.file("history.db"), &status)
    #expect(status.st_mode & 0o777 == 0o600)
  }

  @Test func keepsSizesAndAlerts() throws {
    let directory = try TemporaryDirectory()
    let store = try HistoryStore(path: directory.file("history.db"))
    for second in 0..<10 {
      try store.saveSizes(
        [("process", "1 init", UInt64(second)), ("slab cache", "dentry", 5)], at: 100 + Double(second))
    }
    try store.saveAlert(kind: "process", name: "1 init", text: "grows", at: 105)
    let sizes = try store.sizes(since: 105)
    #expect(sizes.count == 10)
    #expect(sizes.filter { $0.kind == "process" }.map(\.bytes) == [5, 6, 7, 8, 9])
    #expect(try store.alertCount() == 1)
  }

  @Test func leavesTheOldestBehind() throws {
    let directory = try TemporaryDirectory()
    let store = try HistoryStore(
      path: directory.file("history.db"), limits: HistoryStore.Limits(size: 400_000, retention: 5000))
    for window in 0..<200 {
      let sizes = (0..<100).map { (kind: "process", name: "\($0)", bytes: UInt64(window)) }
      try store.saveSizes(sizes, at: Double(10_000 + window * 10))
    }
    try store.save(Self.report(start: 1, seconds: 1, bytes: 1), session: 1, reason: "interval")
    #expect(try store.usedBytes() > 400_000)
    try store.trim(now: 12_000)
    #expect(try store.usedBytes() <= 400_000)
    #expect(try store.snapshots(from: 0, to: 1e9).isEmpty)
    #expect(try store.sizes(since: 0).last?.bytes == 199)
    #expect(try store.damage() == nil)
    var status = stat()
    stat(directory.file("history.db"), &status)
    #expect(status.st_size <= 500_000)
    // What is forgotten can be written anew.
    try store.saveSizes([("process", "1", 1)], at: 12_001)
    store.limits.retention = 0
    try store.trim(now: 20_000)
    #expect(try store.sizes(since: 0).isEmpty)
  }

  @Test func bringsAnOlderFileToThePresent() throws {
    guard findTool("sqlite3") != nil else {
      print("skipped: sqlite3 is not installed")
      return
    }
    let directory = try TemporaryDirectory()
    let path = directory.file("history.db")
    _ = try HistoryStore(path: path)
    // As version 1 left it.
    try run(["sqlite3", path, "DROP TABLE alerts; DROP INDEX sizes_by_time; PRAGMA user_version=1"])
    let store = try HistoryStore(path: path)
    try store.saveAlert(kind: "process", name: "a", text: "grows", at: 1)
    #expect(try run(["sqlite3", path, "PRAGMA user_version"]) == "2\n")
    try run(["sqlite3", path, "PRAGMA user_version=99"])
    #expect(throws: HistoryError.self) { _ = try HistoryStore(path: path) }
    #expect(throws: HistoryError.self) { _ = try HistoryStore(reading: path) }
  }

  @Test func refusesWhatIsNoHistory() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("other", String(repeating: "no database ", count: 100))
    #expect(throws: HistoryError.self) { _ = try HistoryStore(path: path) }
    #expect(throws: HistoryError.self) { _ = try HistoryStore(reading: directory.file("missing")) }
    // Nothing of it is changed.
    #expect(String(decoding: contents(of: path), as: UTF8.self).hasPrefix("no database "))
  }
}
