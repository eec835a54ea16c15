import Quantities
import TextOutput
import TraceModel

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
      "<p>Compared: \(comparison.measureWords), in \(comparison.unit), intervals at \(Int(saturating: comparison.confidence * 100)) %</p></header>"
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
        "<tr><td class=\"name\"><details><summary>\(site.verdict.rawValue)\(site.isLeaking ? ", leaking" : ""): \(escapedForMarkup(site.frames.first?.plainName ?? site.allocator))</summary><div class=\"stack\">"
      )
      for frame in site.frames {
        var place = frame.file.map { " at " + $0 } ?? ""
        if !place.isEmpty, let line = frame.line { place += ":\(line)" }
        output.line(
          "<div>\(escapedForMarkup(frame.plainName))<span class=\"dim\">\(escapedForMarkup(place))</span></div>"
        )
      }
      output.line("</div></details></td><td>\(rateText(site.before))</td><td>\(rateText(site.after))</td></tr>")
    }
    output.line("</table></div></section>")
    for note in comparison.notes { output.line("<p>\(escapedForMarkup(note))</p>") }
    output.line("</body></html>")
    return output.bytes
  }
}
