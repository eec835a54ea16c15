import Glibc
import Logging
import Session
import TextOutput

/// Writes log lines to standard error. Where journald reads them, each line begins with its priority.
struct WatchLog: LogHandler {
  var logLevel: Logger.Level = .info
  var metadata: Logger.Metadata = [:]
  private let isJournal = getenv("JOURNAL_STREAM") != nil

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var text = event.message.description
    for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }
    ) {
      text += " \(key)=\(value)"
    }
    // One event is always one line, whatever is in a name that it contains: journald begins a new one after 48 KiB.
    var line = escapedForTerminal(text)
    if line.utf8.count > Self.mostBytes {
      line = String(decoding: line.utf8.prefix(Self.mostBytes), as: UTF8.self) + "…"
    }
    let prefix =
      isJournal ? "<\(Self.priority(event.level))>" : "leaktrace: \(event.level == .info ? "" : "\(event.level): ")"
    writeAll(prefix + line + "\n", to: STDERR_FILENO)
  }

  private static let mostBytes = 16 << 10

  /// The priorities of syslog(3).
  private static func priority(_ level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}
