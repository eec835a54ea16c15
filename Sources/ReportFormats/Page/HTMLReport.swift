import Quantities
import TextOutput
import TraceModel

/// One self-contained page: no network, no script but its own. All names are data, set as text by the script.
package enum HTMLReport {
  package static let format = ReportFormat(
    name: "html", summary: "one self-contained page: findings, curves, stacks, flame graph, call graph",
    suffixes: ["html", "htm"]
  ) { render($0, $1.text) }

  package static func render(_ report: Report, _ options: TextOptions = TextOptions()) -> [UInt8] {
    var output = ByteWriter()
    let title = escapedForMarkup("leaktrace: " + (report.target.command ?? report.target.kind.rawValue))
    HTMLPage.begin(title: title, isScripted: true, to: &output)
    let findings = PageFindings(report, options)
    output.line("<header><h1\(findings.isBad ? " class=\"bad\"" : "")>\(escapedForMarkup(findings.title))</h1>")
    for line in findings.lines {
      output.line("<p\(line.isWarning ? " class=\"warning\"" : "")>\(escapedForMarkup(line.text))</p>")
    }
    for line in headLines(report) { output.line("<p>\(escapedForMarkup(line))</p>") }
    output.line("</header>")
    output.write(PageBody.source)
    output.line("<section role=\"tabpanel\" id=\"panel-words\" aria-labelledby=\"tab-words\"><div id=\"words\">")
    output.write(PageWords.markup)
    output.line("</div></section>")
    output.write("<script type=\"application/json\" id=\"report\">")
    output.write(PageData.json(of: report, findings))
    output.line("</script>")
    output.line("<script>")
    output.write(PageScript.source)
    output.line("</script></body></html>")
    return output.bytes
  }

  private static func headLines(_ report: Report) -> [String] {
    var lines: [String] = []
    let names = [report.target.command, report.target.executable].compactMap { $0 }
    if !names.isEmpty { lines.append(names.joined(separator: " · ")) }
    let start = timestamp(report.window.startInUnixSeconds) ?? "an unknown moment"
    lines.append("traced from \(start)")
    return lines
  }
}
