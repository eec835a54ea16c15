import Quantities
import TextOutput
import TraceModel

/// A way to write a comparison of two recordings.
package struct ComparisonFormat: Sendable {
  package let name: String
  package let suffixes: [String]
  package let render: @Sendable (Comparison, TextOptions) -> [UInt8]

  package static let all: [ComparisonFormat] = [
    ComparisonFormat(name: "text", suffixes: ["txt"]) { ComparisonText.render($0, $1) },
    ComparisonFormat(name: "json", suffixes: ["json"]) { comparison, _ in ComparisonJSON.render(comparison) },
    ComparisonFormat(name: "junit", suffixes: ["xml"]) { comparison, _ in ComparisonJUnit.render(comparison) },
    ComparisonFormat(name: "html", suffixes: ["html", "htm"]) { comparison, _ in ComparisonHTML.render(comparison) },
  ]
}

extension Comparison {
  /// What an amount is per: `/s`, or for a unit of work.
  var unit: String {
    switch normalization {
    case .perSecond: measure == .outstanding || measure == .lost ? "B per second of tracing" : "B/s"
    case .perWork: "B per unit of work"
    case .perRound(_, let work): work == nil ? "B per round" : "B per unit of work"
    }
  }

  var headline: String {
    let counts = Verdict.allCases.compactMap { verdict -> String? in
      let count = sites.count { $0.verdict == verdict }
      return count == 0 ? nil : "\(count) \(verdict.rawValue)"
    }
    let leaking = sites.count(where: \.isLeaking)
    let stacks = "\(leaking) call \(leaking == 1 ? "stack" : "stacks")"
    let result =
      switch (isOfRounds, hasPassed) {
      case (false, true): "nothing leaks any more"
      case (false, false): "\(stacks) still leaking"
      case (true, true): "memory returns, nothing grows with the load"
      case (true, false): "\(stacks) \(leaking == 1 ? "grows" : "grow") with the load"
      }
    return result + (counts.isEmpty ? "" : " (\(counts.joined(separator: ", ")))")
  }

  /// How the rates of a site compare, for people.
  func change(of site: Site) -> String {
    (isOfRounds ? "" : rateText(site.before) + " -> ") + "\(rateText(site.after)) \(unit)"
  }

  var measureWords: String {
    if case .perRound(let count, _) = normalization { return "outstanding memory after each of \(count) rounds" }
    return switch measure {
    case .lost: "definitely and indirectly lost memory"
    case .growth: "growth of outstanding memory"
    case .outstanding: "outstanding memory"
    }
  }
}

/// `12.3 [10.1, 14.5]`.
func rateText(_ rate: Comparison.Rate) -> String {
  "\(shortNumber(rate.value)) [\(shortNumber(rate.low)), \(shortNumber(rate.high))]"
}

enum ComparisonText {
  static func render(_ comparison: Comparison, _ options: TextOptions) -> [UInt8] {
    var output = ByteWriter()
    output.line("leaktrace verify: " + comparison.headline)
    output.line(
      "  compared: \(comparison.measureWords), in \(comparison.unit), intervals at \(Int(comparison.confidence * 100)) %"
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
          + "(\(ByteSize.exact(site.beforeTally.bytes)) in \(site.beforeTally.count) -> "
          + "\(ByteSize.exact(site.afterTally.bytes)) in \(site.afterTally.count) blocks, \(escapedForTerminal(site.allocator)))"
      )
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

enum ComparisonJSON {
  static let schema = "leaktrace.comparison/1"

  static func render(_ comparison: Comparison) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", schema)
      writer.member("passed", comparison.hasPassed)
      writer.member("measure", comparison.measure.rawValue)
      writer.member("confidence", comparison.confidence)
      writer.member("threshold", comparison.threshold)
      writer.key("normalization")
      writer.object { writer in
        switch comparison.normalization {
        case .perSecond: writer.member("kind", "time")
        case .perWork(let before, let after):
          writer.member("kind", "work")
          writer.member("before", before)
          writer.member("after", after)
        case .perRound(let count, let work):
          writer.member("kind", "rounds")
          writer.member("count", count)
          writer.member("work", work)
        }
      }
      write("before", comparison.before, to: &writer)
      write("after", comparison.after, to: &writer)
      writer.key("sites")
      writer.array(comparison.sites) { writer, site in
        writer.object { writer in
          writer.member("verdict", site.verdict.rawValue)
          writer.member("leaking", site.isLeaking)
          writer.member("allocator", site.allocator)
          write("before", site.before, to: &writer)
          write("after", site.after, to: &writer)
          for (name, tally) in [("before", site.beforeTally), ("after", site.afterTally)] {
            writer.member(name + "_bytes", tally.bytes)
            writer.member(name + "_count", tally.count)
          }
          writer.key("frames")
          writer.array(site.frames) { writer, frame in
            writer.object {
              $0.member("function", frame.function)
              $0.member("module", frame.module)
              $0.member("file", frame.file)
              $0.member("line", frame.line)
              $0.member("inlined", frame.isInlined)
            }
          }
        }
      }
      writer.key("notes")
      writer.array(comparison.notes) { $0.string($1) }
    }
    writer.endLine()
    return writer.bytes
  }

  private static func write(_ name: String, _ rate: Comparison.Rate, to writer: inout JSONWriter) {
    writer.key(name)
    writer.object {
      $0.member("value", rate.value)
      $0.member("low", rate.low)
      $0.member("high", rate.high)
    }
  }
}

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
      for frame in site.frames { output.line("      " + escapedForMarkup(singleLine(frame.plainName))) }
      output.line("    </failure>")
      output.line("  </testcase>")
    }
    output.line("</testsuite></testsuites>")
    return output.bytes
  }
}

enum ComparisonHTML {
  static func render(_ comparison: Comparison) -> [UInt8] {
    var output = ByteWriter()
    output.line("<!DOCTYPE html>")
    output.line(
      "<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    )
    output.line("<title>leaktrace verify</title><style>\(HTMLPage.style)</style></head><body>")
    output.line("<header><h1>\(escapedForMarkup(comparison.headline))</h1>")
    output.line(
      "<p>Compared: \(comparison.measureWords), in \(comparison.unit), intervals at \(Int(comparison.confidence * 100)) %</p></header>"
    )
    output.line("<section class=\"cards\">")
    let rates =
      comparison.isOfRounds
      ? [("growth", comparison.after)] : [("before", comparison.before), ("after", comparison.after)]
    for (name, rate) in rates {
      output.line(
        "<div class=\"card\"><span>\(name)</span><b>\(shortNumber(rate.value))</b><span>\(shortNumber(rate.low)) to \(shortNumber(rate.high))</span></div>"
      )
    }
    output.line("</section><section><h2>Call stacks</h2><div class=\"wide\"><table>")
    output.line("<tr><th class=\"name\">verdict and stack</th><th>before</th><th>after</th></tr>")
    for site in comparison.sites {
      output.line(
        "<tr><td class=\"name\"><details><summary>\(site.verdict.rawValue)\(site.isLeaking ? ", leaking" : ""): \(escapedForMarkup(singleLine(site.frames.first?.plainName ?? site.allocator)))</summary><div class=\"stack\">"
      )
      for frame in site.frames {
        var place = frame.file.map { " at " + $0 } ?? ""
        if !place.isEmpty, let line = frame.line { place += ":\(line)" }
        output.line(
          "<div>\(escapedForMarkup(singleLine(frame.plainName)))<span class=\"dim\">\(escapedForMarkup(singleLine(place)))</span></div>"
        )
      }
      output.line("</div></details></td><td>\(rateText(site.before))</td><td>\(rateText(site.after))</td></tr>")
    }
    output.line("</table></div></section>")
    for note in comparison.notes { output.line("<p>\(escapedForMarkup(singleLine(note)))</p>") }
    output.line("</body></html>")
    return output.bytes
  }
}
