import Quantities
import TextOutput
import TraceModel

enum ComparisonText {
  static func render(_ comparison: Comparison, _ options: TextOptions) -> [UInt8] {
    var output = ByteWriter()
    output.line("leaktrace verify: " + comparison.headline)
    for reason in comparison.reasons { output.line("  because:  " + escapedForTerminal(reason)) }
    output.line(
      "  compared: \(comparison.measureWords), in \(comparison.unit), intervals at \(Int(saturating: comparison.confidence * 100)) %"
    )
    if comparison.isOfRounds {
      output.line("  growth:   \(rateText(comparison.after))")
    } else {
      output.line("  before:   \(rateText(comparison.before))")
      output.line("  after:    \(rateText(comparison.after))")
    }
    if comparison.threshold > 0 { output.line("  allowed:  \(shortNumber(comparison.threshold)) for each call stack") }
    for site in comparison.sites.prefix(options.top ?? .max) {
      output.line()
      let mark = site.isLeaking ? ", leaking" : ""
      output.line(
        "\(site.verdict.rawValue.uppercased())\(mark): \(comparison.change(of: site)) "
          + "(\(ByteSize.exact(site.beforeTally.bytes)) in \(groupedNumber(site.beforeTally.count)) -> "
          + "\(ByteSize.exact(site.afterTally.bytes)) in \(groupedNumber(site.afterTally.count)) blocks, \(escapedForTerminal(site.allocator)))"
      )
      if let reason = site.reason { output.line("\t(\(escapedForTerminal(reason)))") }
      for frame in site.frames {
        let name = frame.function.map { options.fullNames ? $0 : options.shortenFunctionName($0) } ?? frame.plainName
        var line = "\t" + escapedForTerminal(name)
        if let module = frame.module {
          line += " [" + escapedForTerminal(module.split(separator: "/").last.map(String.init) ?? module) + "]"
        }
        if let file = frame.file { line += " at " + escapedForTerminal(file) + (frame.line.map { ":\($0)" } ?? "") }
        output.line(line)
      }
    }
    let rest = comparison.sites.dropFirst(options.top ?? .max).count
    if rest > 0 { output.line("\n\(rest) more call stacks not shown") }
    for note in comparison.notes { output.line("Note: " + escapedForTerminal(note)) }
    return output.bytes
  }
}
