import CSQLite

/// One connection to an SQLite file. Not safe for use from several threads.
final class Database {
  private let handle: OpaquePointer

  init(path: String, readOnly: Bool) throws(HistoryError) {
    var handle: OpaquePointer?
    let flags = (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOFOLLOW
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close_v2(handle)
      throw HistoryError(operation: "open \(path)", code: code, message: message)
    }
    self.handle = handle
    sqlite3_extended_result_codes(handle, 1)
    sqlite3_busy_timeout(handle, 5000)
  }

  deinit { sqlite3_close_v2(handle) }

  private func failure(_ operation: String, _ code: Int32) -> HistoryError {
    HistoryError(operation: operation, code: code, message: String(cString: sqlite3_errmsg(handle)))
  }

  /// Runs statements without values.
  func execute(_ statements: String) throws(HistoryError) {
    let code = sqlite3_exec(handle, statements, nil, nil, nil)
    if code != SQLITE_OK { throw failure(statements.split(separator: "\n").first.map(String.init) ?? "execute", code) }
  }

  /// Runs one statement and calls `row` for each row of its result.
  func run(_ text: String, _ values: [Value] = [], row: (Row) -> Void = { _ in }) throws(HistoryError) {
    var statement: OpaquePointer?
    var code = sqlite3_prepare_v2(handle, text, -1, &statement, nil)
    guard code == SQLITE_OK, let statement else { throw failure("prepare \(text)", code) }
    defer { sqlite3_finalize(statement) }
    for (place, value) in values.enumerated() {
      code = value.bind(statement, Int32(place + 1))
      if code != SQLITE_OK { throw failure("bind", code) }
    }
    while true {
      code = sqlite3_step(statement)
      if code == SQLITE_DONE { return }
      guard code == SQLITE_ROW else { throw failure(text, code) }
      row(Row(statement: statement))
    }
  }

  func integer(_ text: String) throws(HistoryError) -> Int64 {
    var result: Int64 = 0
    try run(text) { result = $0.integer(0) }
    return result
  }

  var lastRowID: Int64 { sqlite3_last_insert_rowid(handle) }

  /// Runs `body` as one transaction: all of it takes effect, or nothing.
  func transaction(_ body: () throws(HistoryError) -> Void) throws(HistoryError) {
    try execute("BEGIN IMMEDIATE")
    do {
      try body()
      try execute("COMMIT")
    } catch {
      // SQLite may have rolled it back by itself, as when the disk is full.
      if sqlite3_get_autocommit(handle) == 0 { try? execute("ROLLBACK") }
      throw error
    }
  }

  enum Value {
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
    case null

    func bind(_ statement: OpaquePointer, _ place: Int32) -> Int32 {
      switch self {
      case .integer(let value): return sqlite3_bind_int64(statement, place, value)
      case .real(let value): return sqlite3_bind_double(statement, place, value)
      case .text(let value):
        var value = value
        return value.withUTF8 { bytes in
          guard let start = bytes.baseAddress else { return csqlite_bind_text(statement, place, "", 0) }
          return start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
            csqlite_bind_text(statement, place, $0, Int32(bytes.count))
          }
        }
      case .blob(let bytes): return csqlite_bind_blob(statement, place, bytes, Int32(bytes.count))
      case .null: return sqlite3_bind_null(statement, place)
      }
    }
  }

  /// A row of a result, valid until the next one.
  struct Row {
    fileprivate let statement: OpaquePointer

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }
    func real(_ column: Int32) -> Double { sqlite3_column_double(statement, column) }
    func text(_ column: Int32) -> String {
      guard let text = sqlite3_column_text(statement, column) else { return "" }
      return String(cString: text)
    }
    func blob(_ column: Int32) -> [UInt8] {
      guard let bytes = sqlite3_column_blob(statement, column) else { return [] }
      return Array(UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column))))
    }
  }
}
