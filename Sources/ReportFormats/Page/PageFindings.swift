import Quantities
import ReportAnalysis
import TextOutput
import TraceModel

/// What a page begins with: the headline, the findings as rows, and what is bounded.
struct PageFindings {
  /// More rows say less: the rest is in the table of stacks.
  private static let maximumRows = 10
  private static let maximumBounded = 3

  let roles = FrameRoles()
  private let headline: Headline
  private let findings: Findings
  private let report: Report

  init(_ report: Report) {
    self.report = report
    findings = Findings(report, roles: roles)
    headline = Headline(report, findings)
  }

  /// `server (77) LEAKS 837.0 KiB/s = 2.9 GiB/h`.
  var title: String { headline.subject(report.target) + " " + headline.answerWords }

  /// Whether the title is bad news.
  var isBad: Bool { headline.answer == .leaks || headline.answer == .grows }

  /// What stands below the title: each line with whether it warns.
  var lines: [(text: String, isWarning: Bool)] {
    var lines: [(String, Bool)] = []
    if let reason = headline.reason { lines.append((reason, true)) }
    if let forecast = headline.forecastWords { lines.append((forecast, false)) }
    lines.append((headline.windowWords, headline.isIncomplete))
    return lines
  }

  func write(to writer: inout JSONWriter) {
    let hasProcesses = Set(report.sites.map(\.processID)).count > 1
    let rows = findings.list.filter { $0.kind.group != .bounded && $0.doubt == nil || $0.kind.group == .leaking }
    writer.key("findings")
    writer.array(rows.prefix(Self.maximumRows)) { writer, finding in
      writer.object {
        $0.member("rate", finding.rateWords)
        $0.member("interval", finding.intervalWords)
        $0.member("where", singleLine(finding.functionWords))
        $0.member("place", singleLine(finding.placeWords))
        $0.member("stacks", finding.stackWords)
        $0.member("process", hasProcesses ? finding.processes.first?.processID ?? 0 : nil)
        $0.member("others", max(0, finding.processes.count - 1))
        $0.member("held", ByteSize.text(finding.held.bytes))
        $0.member("kind", singleLine(finding.kindWords))
        $0.member("share", finding.shareWords)
        $0.key("sites")
        $0.array(finding.sites) { $0.integer($1) }
      }
    }
    writer.key("remarks")
    writer.array(remarks(rest: rows.dropFirst(Self.maximumRows))) { $0.string(singleLine($1)) }
  }

  private func remarks(rest: ArraySlice<Finding>) -> [String] {
    var remarks: [String] = []
    if !rest.isEmpty {
      let held = rest.reduce(into: Tally()) { $0 += $1.held }
      remarks.append("\(rest.count) more with \(ByteSize.text(held.bytes)): see the call stacks")
    }
    let bounded = findings.findings(in: .bounded)
    if !bounded.isEmpty {
      let named = bounded.prefix(Self.maximumBounded).map {
        "\($0.functionWords) \($0.placeWords), \(ByteSize.text($0.held.bytes)), \($0.kind.rawValue)"
      }
      let others = bounded.count - named.count
      remarks.append("bounded: " + named.joined(separator: "; ") + (others > 0 ? "; and \(others) more" : ""))
    }
    return remarks
  }
}
