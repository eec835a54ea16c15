import TextOutput
import TraceModel

/// One test case per call stack: what CI servers show.
enum ComparisonJUnit {
  static func render(_ comparison: Comparison) -> [UInt8] {
    var output = ByteWriter()
    let failures = comparison.sites.count(where: \.isLeaking)
    output.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
    // A suite without cases would be taken for one that did not run.
    let count = max(1, comparison.sites.count)
    output.line("<testsuites><testsuite name=\"leaktrace\" tests=\"\(count)\" failures=\"\(failures)\">")
    if comparison.sites.isEmpty { output.line("  <testcase classname=\"leaktrace\" name=\"no leaks\"/>") }
    for site in comparison.sites {
      let name = site.frames.prefix(3).map { singleLine($0.plainName) }.joined(separator: " < ")
      let start = "  <testcase classname=\"leaktrace.\(site.verdict.rawValue)\" name=\"\(escapedForMarkup(name))\""
      guard site.isLeaking else {
        output.line(start + "/>")
        continue
      }
      output.line(start + ">")
      let message = "\(site.verdict.rawValue): \(comparison.change(of: site))"
      output.line("    <failure message=\"\(escapedForMarkup(message))\">")
      for frame in site.frames { output.line("      " + escapedForMarkup(frame.plainName)) }
      output.line("    </failure>")
      output.line("  </testcase>")
    }
    output.line("</testsuite></testsuites>")
    return output.bytes
  }
}
