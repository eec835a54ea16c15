import ReportFormats
import TraceModel

/// Keeps on disk what a host's memory did: snapshots of traces with every call stack in them, sizes over time, and
/// alerts.
///
/// The file is in WAL mode: readers do not wait for the writer, and after a kill a transaction is there as a whole or
/// not at all (a loss of power may take the last ones with it). The file is kept below a size: the oldest entries are
/// removed.
package final class HistoryStore {
  package struct Limits: Sendable {
    /// Bytes of the file.
    package var size: Int64 = 256 << 20
    /// Seconds.
    package var retention: Double = 30 * 86400
    package init() {}
    package init(size: Int64, retention: Double) {
      self.size = size
      self.retention = retention
    }
  }

  /// One snapshot without its recording.
  package struct Snapshot: Hashable, Sendable {
    package var id: Int64
    /// Snapshots of one session go on with each other: the last one includes what is in those before.
    package var session: Int64
    /// Seconds since 1970.
    package var start: Double
    package var end: Double
    package var target: String
    package var processID: Int32?
    /// Why it was taken: `interval`, `growth`, `limit`, `oom`.
    package var reason: String
    package var outstandingBytes: UInt64
  }

  package let path: String
  package var limits: Limits
  private let database: Database
  private var seriesIDs: [String: Int64] = [:]

  /// Opens or makes the file, readable by its owner alone, and brings an older one to the present tables.
  package init(path: String, limits: Limits = Limits()) throws(HistoryError) {
    self.path = path
    self.limits = limits
    try HistoryFile.create(path)
    database = try Database(path: path, readOnly: false)
    // This must come before the first table, or it has no effect.
    try database.execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
    try database.execute("PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=4194304; PRAGMA cache_size=-2000")
    try migrate()
  }

  /// Opens a file for reading alone, also while a watch writes to it.
  package init(reading path: String) throws(HistoryError) {
    self.path = path
    limits = Limits()
    database = try Database(path: path, readOnly: true)
    try check(version: try database.integer("PRAGMA user_version"))
  }

  private func check(version: Int64) throws(HistoryError) {
    if version > HistorySchema.version {
      throw HistoryError(
        operation: "open \(path)", code: 0,
        message:
          "it is of version \(version), made by a newer leaktrace; this one knows version \(HistorySchema.version)")
    }
  }

  private func migrate() throws(HistoryError) {
    let version = try database.integer("PRAGMA user_version")
    try check(version: version)
    for step in Int(version)..<HistorySchema.migrations.count {
      try database.transaction { () throws(HistoryError) in
        try database.execute(HistorySchema.migrations[step])
        try database.execute("PRAGMA user_version=\(step + 1)")
      }
    }
  }

  // MARK: Writing

  /// Keeps a report with its stacks. `session` is the same for reports that go on with each other.
  package func save(_ report: Report, session: Int64, reason: String) throws(HistoryError) {
    let start = report.window.startInUnixSeconds
    let recording = PprofReport.render(report)
    try database.transaction { () throws(HistoryError) in
      try database.run(
        "INSERT INTO snapshots (session, start, end, target, pid, reason, outstanding_bytes, recording) "
          + "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
          .integer(session), .real(start), .real(start + report.window.duration / .seconds(1)),
          .text(report.target.command ?? report.target.kind.rawValue),
          report.target.processID.map { .integer(Int64($0)) } ?? .null, .text(reason),
          .integer(Int64(clamping: report.totals.outstanding.bytes)), .blob(recording),
        ])
      let snapshot = database.lastRowID
      for site in report.sites {
        try database.run(
          "INSERT INTO sites VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (snapshot, site) DO UPDATE SET "
            + "outstanding_bytes = outstanding_bytes + excluded.outstanding_bytes, "
            + "outstanding_count = outstanding_count + excluded.outstanding_count, "
            + "allocated_bytes = allocated_bytes + excluded.allocated_bytes",
          [
            .integer(snapshot), .integer(Self.identity(of: site)), .text(Self.function(of: site)),
            .integer(Int64(clamping: site.outstanding.bytes)), .integer(Int64(clamping: site.outstanding.count)),
            .integer(Int64(clamping: site.allocated.bytes)),
          ])
      }
    }
  }

  /// Keeps the sizes of many things at one moment (seconds since 1970).
  package func saveSizes(_ sizes: [(kind: String, name: String, bytes: UInt64)], at time: Double) throws(HistoryError) {
    var added: [String: Int64] = [:]
    try database.transaction { () throws(HistoryError) in
      for size in sizes {
        let key = size.kind + "\u{0}" + size.name
        var known = seriesIDs[key] ?? added[key]
        if known == nil {
          try database.run(
            "INSERT INTO series (kind, name) VALUES (?, ?) ON CONFLICT (kind, name) DO UPDATE SET kind = kind RETURNING id",
            [.text(size.kind), .text(size.name)]
          ) { known = $0.integer(0) }
          added[key] = known
        }
        try database.run(
          "INSERT OR REPLACE INTO sizes VALUES (?, ?, ?)",
          [.integer(known ?? 0), .real(time), .integer(Int64(clamping: size.bytes))])
      }
    }
    seriesIDs.merge(added) { first, _ in first }
  }

  package func saveAlert(kind: String, name: String, text: String, at time: Double) throws(HistoryError) {
    try database.run(
      "INSERT INTO alerts (time, kind, name, text) VALUES (?, ?, ?, ?)",
      [.real(time), .text(kind), .text(name), .text(text)])
  }

  /// Removes what is older than the retention, and the oldest entries while the file is larger than it may be.
  package func trim(now: Double) throws(HistoryError) {
    try forget(before: now - limits.retention)
    var rounds = 0
    while try usedBytes() > limits.size, rounds < 64 {
      rounds += 1
      // Removes a tenth of the time that is kept.
      let oldest = try oldestTime() ?? now
      if oldest >= now { break }
      try forget(before: oldest + max(1, (now - oldest) / 10))
    }
    seriesIDs = [:]
    try database.execute("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
  }

  private func forget(before time: Double) throws(HistoryError) {
    try database.transaction { () throws(HistoryError) in
      try database.run("DELETE FROM snapshots WHERE end < ?", [.real(time)])
      try database.run("DELETE FROM sizes WHERE time < ?", [.real(time)])
      try database.run("DELETE FROM alerts WHERE time < ?", [.real(time)])
      try database.run("DELETE FROM series WHERE id NOT IN (SELECT DISTINCT series FROM sizes)")
    }
  }

  private func oldestTime() throws(HistoryError) -> Double? {
    var oldest: Double?
    try database.run(
      "SELECT min(t) FROM (SELECT min(end) AS t FROM snapshots UNION ALL SELECT min(time) FROM sizes "
        + "UNION ALL SELECT min(time) FROM alerts) WHERE t IS NOT NULL"
    ) { row in
      if row.real(0) > 0 { oldest = row.real(0) }
    }
    return oldest
  }

  /// Bytes of the pages in use; what is free in the file is used before it grows.
  package func usedBytes() throws(HistoryError) -> Int64 {
    let pages = try database.integer("PRAGMA page_count") - database.integer("PRAGMA freelist_count")
    return try pages * database.integer("PRAGMA page_size")
  }

  // MARK: Reading

  /// Snapshots that ended in a stretch of time (seconds since 1970), the oldest first.
  package func snapshots(from start: Double, to end: Double) throws(HistoryError) -> [Snapshot] {
    var result: [Snapshot] = []
    try database.run(
      "SELECT id, session, start, end, target, pid, reason, outstanding_bytes FROM snapshots "
        + "WHERE end >= ? AND end <= ? ORDER BY end, id",
      [.real(start), .real(end)]
    ) { row in
      let processID = Int32(truncatingIfNeeded: row.integer(5))
      result.append(
        Snapshot(
          id: row.integer(0), session: row.integer(1), start: row.real(2), end: row.real(3), target: row.text(4),
          processID: processID == 0 ? nil : processID, reason: row.text(6),
          outstandingBytes: UInt64(max(0, row.integer(7)))))
    }
    return result
  }

  /// The recording of a snapshot, in pprof's form; nil where there is none.
  package func recording(of snapshot: Int64) throws(HistoryError) -> [UInt8]? {
    var result: [UInt8]?
    try database.run("SELECT recording FROM snapshots WHERE id = ?", [.integer(snapshot)]) { result = $0.blob(0) }
    return result
  }

  /// Sizes of everything since a moment, the oldest first.
  package func sizes(since time: Double) throws(HistoryError) -> [(
    kind: String, name: String, time: Double, bytes: UInt64
  )] {
    var result: [(kind: String, name: String, time: Double, bytes: UInt64)] = []
    try database.run(
      "SELECT kind, name, time, bytes FROM sizes JOIN series ON series.id = series WHERE time >= ? ORDER BY time",
      [.real(time)]
    ) { row in
      result.append((row.text(0), row.text(1), row.real(2), UInt64(max(0, row.integer(3)))))
    }
    return result
  }

  /// What a call stack held in each snapshot since a moment: its end and bytes.
  package func course(ofSite site: Int64, since time: Double) throws(HistoryError) -> [(end: Double, bytes: UInt64)] {
    var result: [(end: Double, bytes: UInt64)] = []
    try database.run(
      "SELECT end, sites.outstanding_bytes FROM sites JOIN snapshots ON snapshots.id = snapshot "
        + "WHERE site = ? AND end >= ? ORDER BY end",
      [.integer(site), .real(time)]
    ) { result.append(($0.real(0), UInt64(max(0, $0.integer(1))))) }
    return result
  }

  package func alertCount() throws(HistoryError) -> Int64 { try database.integer("SELECT count(*) FROM alerts") }

  /// Asks SQLite to look through the whole file; nil when it is sound.
  package func damage() throws(HistoryError) -> String? {
    var found: String?
    try database.run("PRAGMA integrity_check") { row in
      if row.text(0) != "ok" { found = row.text(0) }
    }
    return found
  }

  // MARK: Call stacks

  /// A number of the names in a stack (FNV-1a), the same in every run of the program.
  package static func identity(of site: AllocationSite) -> Int64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ text: String) {
      for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      hash = (hash ^ 0xff) &* 0x100_0000_01b3
    }
    add(site.allocator)
    for frame in site.frames { add(frame.function ?? "\(frame.module ?? "?")+\(frame.moduleOffset ?? 0)") }
    return Int64(bitPattern: hash)
  }

  /// The innermost function that is named.
  private static func function(of site: AllocationSite) -> String {
    site.frames.lazy.compactMap(\.function).first ?? site.allocator
  }
}
