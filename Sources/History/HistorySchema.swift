/// The tables, as steps from one version to the next. A step is never changed once it has been released; a new one is
/// added behind it.
enum HistorySchema {
  static let migrations = [
    // Version 1: snapshots of traces, what each call stack held in them, and the sizes of what is observed.
    """
    CREATE TABLE snapshots (
      id INTEGER PRIMARY KEY,
      session INTEGER NOT NULL,
      start REAL NOT NULL,
      end REAL NOT NULL,
      target TEXT NOT NULL,
      pid INTEGER,
      reason TEXT NOT NULL,
      outstanding_bytes INTEGER NOT NULL,
      recording BLOB NOT NULL);
    CREATE INDEX snapshots_by_end ON snapshots (end);
    CREATE TABLE sites (
      snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
      site INTEGER NOT NULL,
      function TEXT NOT NULL,
      outstanding_bytes INTEGER NOT NULL,
      outstanding_count INTEGER NOT NULL,
      allocated_bytes INTEGER NOT NULL,
      PRIMARY KEY (snapshot, site)) WITHOUT ROWID;
    CREATE TABLE series (
      id INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      name TEXT NOT NULL,
      UNIQUE (kind, name));
    CREATE TABLE sizes (
      series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
      time REAL NOT NULL,
      bytes INTEGER NOT NULL,
      PRIMARY KEY (series, time)) WITHOUT ROWID;
    """,
    // Version 2: the alerts that were given.
    """
    CREATE TABLE alerts (
      id INTEGER PRIMARY KEY,
      time REAL NOT NULL,
      kind TEXT NOT NULL,
      name TEXT NOT NULL,
      text TEXT NOT NULL);
    CREATE INDEX sizes_by_time ON sizes (time);
    """,
  ]

  static var version: Int64 { Int64(migrations.count) }
}
