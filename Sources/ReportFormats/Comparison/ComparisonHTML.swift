import Quantities
import TextOutput
import TraceModel

/// A comparison as one self-contained page without a script.
enum ComparisonHTML {
  static func render(_ comparison: Comparison) -> [UInt8] {
    var output = ByteWriter()
    HTMLPage.begin(title: "leaktrace verify", isScripted: false, to: &output)
    let answer = comparison.hasPassed ? "good" : comparison.answer == .leaking ? "bad" : ""
    output.line("<header><h1 class=\"\(answer)\">\(escapedForMarkup(comparison.headline))</h1>")
    output.line(
      "<p>Compared: \(comparison.measureWords), in \(comparison.unit), intervals at \(Int(saturating: comparison.confidence * 100)) %</p>"
    )
    for reason in comparison.reasons { output.line("<p>\(escapedForMarkup(reason))</p>") }
    for note in comparison.notes { output.line("<p>\(escapedForMarkup(note))</p>") }
    output.line("</header>")
    writeCards(comparison, to: &output)
    writeSites(comparison, to: &output)
    writeWords(comparison, to: &output)
    output.line("</body></html>")
    return output.bytes
  }

  private static func writeCards(_ comparison: Comparison, to output: inout ByteWriter) {
    output.line("<section class=\"cards\">")
    let rates =
      comparison.isOfRounds
      ? [("growth", comparison.after)] : [("before", comparison.before), ("after", comparison.after)]
    for (name, rate) in rates {
      output.line(
        "<div class=\"card\"><span>\(name)</span><b>\(shortNumber(rate.value)) \(escapedForMarkup(comparison.unit))</b>"
          + "<span>\(shortNumber(rate.low)) to \(shortNumber(rate.high))</span></div>")
    }
    for verdict in Comparison.Verdict.allCases {
      let sites = comparison.sites.filter { $0.verdict == verdict }
      guard !sites.isEmpty else { continue }
      let leaking = sites.count(where: \.isLeaking)
      output.line(
        "<div class=\"card\(leaking > 0 ? " bad" : verdict == .fixed ? " good" : "")\"><span>\(verdict.rawValue)</span>"
          + "<b>\(counted(sites.count, "stack"))</b>"
          + "<span>\(leaking == 0 ? "none leaks" : "\(leaking) leaking")</span></div>")
    }
    output.line("</section>")
  }

  private static func writeSites(_ comparison: Comparison, to output: inout ByteWriter) {
    output.line("<section><h2>Call stacks</h2><div class=\"wide\"><table class=\"cardtable\">")
    output.line(
      "<thead><tr><th scope=\"col\" class=\"text\">verdict</th><th scope=\"col\">before</th><th scope=\"col\">after</th>"
        + "<th scope=\"col\" class=\"name\">stack</th></tr></thead><tbody>")
    for site in comparison.sites {
      output.line(
        "<tr class=\"\(site.isLeaking ? "bad" : "")\"><td class=\"text\" data-label=\"verdict\"><b>\(site.verdict.rawValue)</b>"
          + "\(site.isLeaking ? ", leaking" : "")</td><td data-label=\"before\">\(rateText(site.before))</td>"
          + "<td data-label=\"after\">\(rateText(site.after))</td><td class=\"name\">")
      output.line(
        "<details><summary>\(escapedForMarkup(site.frames.first?.plainName ?? site.allocator))</summary><div class=\"stack\">"
      )
      if let reason = site.reason { output.line("<div class=\"dim\">\(escapedForMarkup(reason))</div>") }
      for frame in site.frames {
        var place = frame.file.map { " at " + $0 } ?? ""
        if !place.isEmpty, let line = frame.line { place += ":\(line)" }
        output.line(
          "<div>\(escapedForMarkup(frame.plainName))<span class=\"dim\">\(escapedForMarkup(place))</span></div>")
      }
      output.line("</div></details></td></tr>")
    }
    output.line("</tbody></table></div></section>")
  }

  private static let verdictMeanings: [(Comparison.Verdict, String)] = [
    (.new, "It was not there before."),
    (.worse, "It surely leaks more than before: the intervals do not overlap."),
    (.unchanged, "The intervals overlap: nothing says that it became better or worse."),
    (.improved, "It surely leaks less than before, but still does."),
    (.fixed, "It leaked before, and does not any more."),
    (.growing, "Under rounds of load it grows with each round."),
    (.returns, "Under rounds of load it changes, and does not go on growing."),
  ]

  private static func writeWords(_ comparison: Comparison, to output: inout ByteWriter) {
    output.line("<section><h2>Words</h2><div id=\"words\">")
    for (verdict, meaning) in verdictMeanings where comparison.sites.contains(where: { $0.verdict == verdict }) {
      output.line("<details><summary>\(verdict.rawValue)</summary><p>\(meaning)</p></details>")
    }
    output.line(
      "<details><summary>interval</summary><p>The true amount lies between the two numbers with the probability that is "
        + "given at the top.</p></details></div></section>")
  }
}
