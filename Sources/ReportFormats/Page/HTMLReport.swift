import Quantities
import TextOutput
import TraceModel

/// One self-contained page: no network, no script but its own. All names are data, set as text by the script.
package enum HTMLReport {
  package static let format = ReportFormat(
    name: "html", summary: "one self-contained page with table, flame graph and course", suffixes: ["html", "htm"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    let title = escapedForMarkup("leaktrace: " + (report.target.command ?? report.target.kind.rawValue))
    output.line("<!DOCTYPE html>")
    output.line("<html lang=\"en\"><head><meta charset=\"utf-8\">")
    output.line("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
    output.line(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        + "script-src 'unsafe-inline'\">")
    output.line("<title>\(title)</title>")
    output.line("<style>\(HTMLPage.style)</style></head><body>")
    output.line("<header><h1>\(title)</h1>")
    for line in headLines(report) { output.line("<p>\(escapedForMarkup(line))</p>") }
    output.line("</header>")
    output.write(HTMLPage.body)
    output.write("<script type=\"application/json\" id=\"report\">")
    output.write(data(report))
    output.line("</script>")
    output.line("<script>")
    output.write(HTMLPage.script)
    output.line("</script></body></html>")
    return output.bytes
  }

  private static func headLines(_ report: Report) -> [String] {
    var lines: [String] = []
    if let executable = report.target.executable { lines.append(executable) }
    let start = timestamp(report.window.startInUnixSeconds) ?? "an unknown moment"
    lines.append("\(report.window.duration.text) from \(start)")
    return lines
  }

  // MARK: Data

  /// The data lie in a script element, where no `<` may appear: it is written as an escape.
  private static func data(_ report: Report) -> [UInt8] {
    let frames = FrameTable()
    let stacks = report.sites.map { site in site.shownFrames.map { frames.index(of: $0) } }
    var writer = JSONWriter()
    writer.object { writer in
      writer.key("totals")
      writer.object {
        for (name, tally) in [
          ("outstanding", report.totals.outstanding), ("allocated", report.totals.allocated),
          ("freed", report.totals.freed),
        ] {
          $0.key(name)
          write(tally, to: &$0)
        }
        $0.member("unmatched_frees", report.totals.unmatchedFrees)
        $0.member("standard_error", report.totals.outstandingBytesStandardError)
      }
      writer.member("is_sampled", report.sampling != nil)
      writeChecks(report, to: &writer)
      writer.key("loss")
      writer.array(report.loss) { writer, counter in
        writer.object {
          $0.member("name", singleLine(counter.name))
          $0.member("description", singleLine(counter.description))
          $0.member("value", counter.value)
        }
      }
      writer.key("probes")
      writer.array(report.probes) { writer, probe in
        writer.object {
          $0.member("function", singleLine(probe.function))
          $0.member("object", singleLine(probe.object))
          $0.member("instruction", singleLine(probe.instruction))
          $0.member("emulated", probe.isEmulated)
          $0.member("kind", probe.kind.rawValue)
          $0.member("hits", probe.hits)
        }
      }
      writer.key("moments")
      writer.array(report.timeline) { writer, moment in
        writer.object {
          $0.member("t", moment.elapsed)
          $0.member("bytes", moment.outstanding.bytes)
          $0.member("count", moment.outstanding.count)
          $0.member("rss", moment.residentBytes)
        }
      }
      writer.key("notes")
      writer.array(report.notes + report.leakChecks.flatMap(\.notes)) { $0.string(singleLine($1)) }
      writer.key("strings")
      writer.array(frames.strings) { $0.string($1) }
      writer.key("frames")
      writer.array(frames.rows) { writer, row in writer.array(row) { $0.integer($1) } }
      writer.key("sites")
      writer.array(zip(report.sites, stacks)) { writer, pair in write(pair.0, pair.1, to: &writer) }
    }
    return withoutMarkup(writer.bytes)
  }

  private static func write(_ tally: Tally, to writer: inout JSONWriter) {
    writer.array([tally.bytes, tally.count]) { $0.integer($1) }
  }

  private static func writeChecks(_ report: Report, to writer: inout JSONWriter) {
    writer.key("kinds")
    writer.object { writer in
      for kind in VerdictKind.allCases where !report.leakChecks.isEmpty {
        var sum = Tally()
        for check in report.leakChecks { sum += check.kinds[kind] ?? Tally() }
        if kind == .unchecked, sum.count == 0 { continue }
        writer.key(kind.rawValue)
        write(sum, to: &writer)
      }
    }
    writer.key("checks")
    writer.array(report.leakChecks) { writer, check in
      writer.object {
        $0.member("pid", check.processID)
        $0.member("paused", check.paused)
        $0.member("took", check.took)
        $0.member("scanned", check.scannedBytes)
        $0.member("method", check.method.rawValue)
      }
    }
  }

  private static func write(_ site: AllocationSite, _ stack: [Int], to writer: inout JSONWriter) {
    writer.object { writer in
      writer.key("o")
      write(site.outstanding, to: &writer)
      writer.key("a")
      write(site.allocated, to: &writer)
      writer.key("f")
      write(site.freed, to: &writer)
      writer.member("p", site.processID)
      writer.member("by", singleLine(site.allocator))
      writer.member("class", site.allocationClass.rawValue)
      writer.member("age", site.oldestAge)
      writer.member("end", site.stack.completeness.rawValue)
      if !site.isUnchecked {
        writer.key("v")
        writer.object { writer in
          for kind in VerdictKind.allCases {
            guard let tally = site.verdicts[kind], tally.count > 0 else { continue }
            writer.key(kind.rawValue)
            write(tally, to: &writer)
          }
        }
      }
      if let growth = site.growth {
        writer.key("g")
        writer.object {
          $0.member("word", growth.word.rawValue)
          $0.member("slope", growth.slopeInBytesPerSecond)
          $0.member("low", growth.lowerSlope)
          $0.member("high", growth.upperSlope)
          $0.member("windows", growth.windows)
          $0.member("generations", growth.generationsAlive)
        }
      }
      if let cache = site.kernel?.cache { writer.member("cache", singleLine(cache)) }
      writer.key("s")
      writer.array(stack) { $0.integer($1) }
    }
  }
}

/// Frames and strings, each once.
private final class FrameTable {
  private lazy var ids = FrameCache { [unowned self] in add($0) }

  func index(of frame: Frame) -> Int { ids[frame] }

  private var stringIDs: [String: Int] = [:]
  private(set) var rows: [[Int]] = []
  private(set) var strings: [String] = []

  /// Name, module, file (indices of strings, −1: none), line, whether inlined, reason.
  private func add(_ frame: Frame) -> Int {
    let name = frame.functionOffset.map { frame.plainName + "+" + hexadecimal($0) } ?? frame.plainName
    rows.append([
      string(name), string(frame.module), string(frame.file), max(0, frame.line ?? 0), frame.isInlined ? 1 : 0,
      string(frame.unresolved?.rawValue), string(frame.plainName),
    ])
    return rows.count - 1
  }

  private func string(_ text: String?) -> Int {
    guard let text else { return -1 }
    if let known = stringIDs[text] { return known }
    stringIDs[text] = strings.count
    strings.append(singleLine(text))
    return strings.count - 1
  }
}
