import TextOutput
import TraceModel

/// One test case per call stack: what CI servers show. A stack that leaks is a failure; one of which the recordings do not tell,
/// and a comparison that allows no answer, is an error.
enum ComparisonJUnit {
  static func render(_ comparison: Comparison) -> [UInt8] {
    var output = ByteWriter()
    let failures = comparison.sites.count(where: \.isLeaking)
    let whole = comparison.refusals + (comparison.answer == .cannotTell ? comparison.doubts : [])
    let unclear = comparison.unclearSites.count
    output.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
    // A suite without cases would be taken for one that did not run.
    let hasOwnCase = comparison.sites.isEmpty || !whole.isEmpty
    let count = comparison.sites.count + (hasOwnCase ? 1 : 0)
    let errors = unclear + (whole.isEmpty ? 0 : 1)
    output.line(
      "<testsuites><testsuite name=\"leaktrace\" tests=\"\(count)\" failures=\"\(failures)\" errors=\"\(errors)\">")
    if !whole.isEmpty {
      output.line("  <testcase classname=\"leaktrace\" name=\"can be told\">")
      output.line(
        "    <error message=\"cannot tell: \(escapedForMarkup(singleLine(whole.joined(separator: "; "))))\"/>")
      output.line("  </testcase>")
    } else if hasOwnCase {
      output.line("  <testcase classname=\"leaktrace\" name=\"no leaks\"/>")
    }
    for site in comparison.sites {
      let name = site.frames.prefix(3).map { singleLine($0.plainName) }.joined(separator: " < ")
      let start = "  <testcase classname=\"leaktrace.\(site.verdict.rawValue)\" name=\"\(escapedForMarkup(name))\""
      guard site.isLeaking || site.verdict == .unclear else {
        output.line(start + "/>")
        continue
      }
      output.line(start + ">")
      let element = site.isLeaking ? "failure" : "error"
      let reason = site.reason.map { " (\(singleLine($0)))" } ?? ""
      let message = "\(site.verdict.rawValue): \(comparison.change(of: site))\(reason)"
      output.line("    <\(element) message=\"\(escapedForMarkup(message))\">")
      for frame in site.frames { output.line("      " + escapedForMarkup(frame.plainName)) }
      output.line("    </\(element)>")
      output.line("  </testcase>")
    }
    output.line("</testsuite></testsuites>")
    return output.bytes
  }
}
