import CProcessControl
import Glibc
import LiveView
import ReportFormats
import Symbolization
import TraceModel

/// The live view on a terminal. The terminal is given back however leaktrace ends: by ``close()``, or by the guardian.
final class LiveTerminal {
  /// The most sites that the live view keeps. Nobody scrolls farther than that.
  static let mostSites = 1000
  private var screen: LiveScreen
  private let descriptor = STDOUT_FILENO
  private var isOpen = false
  private var latest: Report?

  /// Whether a live view is possible: both the output and the input must be a terminal.
  static var isPossible: Bool { isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1 }

  /// Has to be called before the guardian is started.
  static func prepare() { _ = cterminal_prepare() }

  init() { screen = LiveScreen(shorten: FunctionNameShortener().shorten) }

  deinit { close() }

  func open() {
    isOpen = cterminal_enter(descriptor) == 0
    draw()
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    cterminal_leave()
  }

  func show(_ report: Report) {
    latest = report
    screen.show(report)
    draw()
  }

  /// Carries out what the user typed. Returns whether the user wants to quit.
  func handleKeys() -> Bool {
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = read(STDIN_FILENO, &bytes, bytes.count)
    // Zero bytes and an error state: the terminal is gone.
    if count == 0, !isReadable { return true }
    guard count > 0 else { return false }
    for key in Key.parse(Array(bytes[..<count])) {
      switch screen.handle(key) {
      case .quit: return true
      case .save: save()
      case nil: break
      }
    }
    draw()
    return false
  }

  /// Whether the terminal is still there. A read of 0 bytes does not tell, because with VMIN 0 that also means that
  /// nothing was typed.
  private var isReadable: Bool {
    var poller = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    return poll(&poller, 1, 0) >= 0 && poller.revents & Int16(POLLHUP | POLLERR | POLLNVAL) == 0
  }

  func draw() {
    guard isOpen else { return }
    var columns: Int32 = 80
    var rows: Int32 = 24
    cterminal_size(descriptor, &columns, &rows)
    let lines = screen.lines(width: Int(columns), height: Int(rows))
    // Each line is cleared after its end, and so is what is below the last line. Clearing the whole screen first would
    // flicker.
    let text = "\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J"
    writeAll(text, to: descriptor)
  }

  private func save() {
    guard let latest else { return }
    var now = time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let stamp =
      "\(parts.tm_year + 1900)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))-\(two(parts.tm_hour))\(two(parts.tm_min))\(two(parts.tm_sec))"
    let path = "leaktrace-\(latest.target.processID.map { "\($0)-" } ?? "")\(stamp).pb.gz"
    do {
      let destination = ReportDestination(format: PprofReport.format, path: path)
      try destination.open()
      try destination.write(latest, options: ReportOptions())
      screen.say("saved \(path)")
    } catch { screen.say("\(error)") }
  }
}
