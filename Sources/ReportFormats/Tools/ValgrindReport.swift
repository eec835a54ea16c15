import Quantities
import TextOutput
import TraceModel

/// memcheck's XML, protocol version 4: what editors and CI plugins for Valgrind read.
package enum ValgrindReport {
  package static let format = ReportFormat(
    name: "valgrind", summary: "memcheck's XML, for tools that read Valgrind's results", suffixes: ["xml"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    output.line("<?xml version=\"1.0\"?>")
    output.line("<valgrindoutput>")
    output.line("<protocolversion>4</protocolversion>")
    output.line("<protocoltool>memcheck</protocoltool>")
    output.line("<preamble><line>leaktrace, a leak tracer for running programs</line></preamble>")
    output.line("<pid>\(report.target.processID ?? 0)</pid>")
    output.line("<ppid>0</ppid>")
    output.line("<tool>memcheck</tool>")
    output.line("<args>")
    output.line("<vargv><exe>leaktrace</exe></vargv>")
    output.line("<argv><exe>\(escapedForMarkup(report.target.command ?? report.target.executable ?? ""))</exe></argv>")
    output.line("</args>")
    output.line("<status><state>RUNNING</state><time>00:00:00:00.000</time></status>")
    output.line("<status><state>FINISHED</state><time>\(time(report.window.duration))</time></status>")
    var number: UInt64 = 0
    var record = 0
    let total = report.sites.reduce(0) { $0 + records(of: $1).count }
    let frames = FrameCache { Array(markup(of: $0).utf8) }
    let start = output.bytes.count
    for site in report.sites {
      for (kind, tally) in records(of: site) {
        if record == 200 { output.expectRest(since: start, done: 200, of: total) }
        record += 1
        write(site, kind, tally, unique: number, record: record, of: total, frames, to: &output)
        number += 1
      }
    }
    output.line("<errorcounts>")
    output.line("</errorcounts>")
    output.line("<suppcounts>")
    for use in report.suppressions where use.matched.count > 0 {
      output.line("<pair><count>\(use.matched.count)</count><name>\(escapedForMarkup(use.pattern))</name></pair>")
    }
    output.line("</suppcounts>")
    output.line("</valgrindoutput>")
    return output.bytes
  }

  /// A site becomes one error for each kind of which it has blocks. Without a leak check every block may still be
  /// reachable.
  private static func records(of site: AllocationSite) -> [(VerdictKind, Tally)] {
    if site.isUnchecked {
      return site.outstanding.count > 0 ? [(.unchecked, site.outstanding)] : []
    }
    return VerdictKind.allCases.compactMap { kind in
      guard let tally = site.verdicts[kind], tally.count > 0 else { return nil }
      return (kind, tally)
    }
  }

  private static func write(
    _ site: AllocationSite, _ kind: VerdictKind, _ tally: Tally, unique: UInt64, record: Int, of total: Int,
    _ frames: FrameCache<[UInt8]>, to output: inout ByteWriter
  ) {
    let words = kind == .unchecked ? "outstanding (no leak check ran)" : kind.words
    output.line("<error>")
    output.line("  <unique>\(hexadecimal(unique))</unique>")
    output.line("  <tid>1</tid>")
    output.line("  <kind>\(kind.memcheckName)</kind>")
    output.line("  <xwhat>")
    output.line(
      "    <text>\(tally.bytes) bytes in \(tally.count) blocks are \(words) in loss record \(record) of \(total)</text>"
    )
    output.line("    <leakedbytes>\(tally.bytes)</leakedbytes>")
    output.line("    <leakedblocks>\(tally.count)</leakedblocks>")
    output.line("  </xwhat>")
    output.line("  <stack>")
    output.write(markup(of: Frame(address: site.shownFrames.first?.address ?? 0, function: site.allocator)))
    for frame in site.shownFrames { output.write(frames[frame]) }
    output.line("  </stack>")
    output.line("</error>")
  }

  private static func markup(of frame: Frame) -> String {
    var output = ByteWriter()
    do {
      output.line("    <frame>")
      output.line("      <ip>\(hexadecimal(frame.address).uppercasedDigits)</ip>")
      if let module = frame.module { output.line("      <obj>\(escapedForMarkup(module))</obj>") }
      if let function = frame.function { output.line("      <fn>\(escapedForMarkup(function))</fn>") }
      if let file = frame.file {
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count > 1 {
          output.line("      <dir>\(escapedForMarkup(parts.dropLast().joined(separator: "/")))</dir>")
        }
        output.line("      <file>\(escapedForMarkup(String(parts.last ?? "")))</file>")
      }
      if let line = frame.line, line > 0 { output.line("      <line>\(line)</line>") }
      output.line("    </frame>")
    }
    return String(decoding: output.bytes, as: UTF8.self)
  }

  /// `DD:HH:MM:SS.mmm`.
  private static func time(_ duration: Duration) -> String {
    let milliseconds = max(0, duration.inMilliseconds)
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let seconds = milliseconds / 1000
    let rest = String(1000 + milliseconds % 1000).dropFirst()
    return "\(two(seconds / 86400)):\(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60)).\(rest)"
  }
}

extension String {
  /// `0x1a` as `0x1A`: Valgrind writes its digits so.
  fileprivate var uppercasedDigits: String { "0x" + dropFirst(2).uppercased() }
}
