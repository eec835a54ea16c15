import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// What a page begins with: the answer, in the words of the text report's first screen.
struct PageFindings {
  let roles = FrameRoles()
  /// The answer and how fast: `server (77) LEAKS 837.0 KiB/s = 2.9 GiB/h`.
  let title: String
  /// Whether the title is bad news.
  let isBad: Bool
  /// What stands below the title: each line with whether it warns.
  let lines: [(text: String, isWarning: Bool)]
  private let screen: FirstScreen
  private let report: Report
  private let options: TextOptions

  init(_ report: Report, _ options: TextOptions) {
    var options = options
    options.isColored = false
    // A browser breaks lines by itself.
    options.width = 400
    self.report = report
    self.options = options
    screen = FirstScreen(report: report, findings: Findings(report, roles: roles), options: options)
    let headline = screen.headline
    let parts = screen.headlineParts()
    let hasAmount = headline.lost.count > 0 || (headline.rate?.bytesPerSecond ?? 0) > 0
    title = parts.prefix(hasAmount ? 2 : 1).joined(separator: " ")
    isBad = headline.answer == .leaks || headline.answer == .grows
    lines =
      parts.dropFirst(hasAmount ? 2 : 1).map { ($0, $0 == headline.reason) }
      + (screen.missingLines() + screen.thinningLines()).map { ($0, true) }
  }

  func write(to writer: inout JSONWriter) {
    let hasProcesses = Set(report.sites.map(\.processID)).count > 1
    writer.key("findings")
    writer.array(screen.rows) { writer, finding in
      writer.object {
        $0.member("rate", screen.rate(finding))
        $0.member("interval", screen.interval(finding))
        $0.member("where", options.name(of: finding))
        $0.member("function", singleLine(finding.frame.plainName))
        $0.member("place", FirstScreen.tail(of: finding))
        $0.member("process", hasProcesses ? finding.processes.first?.processID ?? 0 : nil)
        $0.member("others", max(0, finding.processes.count - 1))
        $0.member("held", screen.held(finding))
        $0.member("kind", screen.kind(finding))
        $0.member("share", screen.share(finding))
        $0.key("sites")
        $0.array(finding.sites) { $0.integer($1) }
      }
    }
    writer.key("remarks")
    let rest =
      screen.restLines() + screen.boundedLines() + [screen.coverageLine()] + screen.threadLines() + screen.heapLines()
    writer.array(rest) { $0.string(withoutMargin($1)) }
    writer.key("next")
    writer.array(screen.nextCommands()) { $0.string($1) }
  }

  /// Lines of text are indented, those of a page are not.
  private func withoutMargin(_ line: String) -> String { String(line.drop { $0 == " " }) }
}
