import Glibc
import Logging
import Session

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
    // Control characters are replaced, so that one event is always one line, whatever is in a name that it contains.
    var line = ""
    for scalar in text.unicodeScalars { line += scalar.value < 0x20 || scalar.value == 0x7f ? "?" : String(scalar) }
    let prefix =
      isJournal ? "<\(Self.priority(event.level))>" : "leaktrace: \(event.level == .info ? "" : "\(event.level): ")"
    writeAll(prefix + line + "\n", to: STDERR_FILENO)
  }

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
