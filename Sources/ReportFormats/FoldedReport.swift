import TraceModel

/// One line per stack, `root;…;leaf BYTES`: what flame graph tools read.
package enum FoldedReport {
  package static let format = ReportFormat(
    name: "folded", summary: "one line per stack with its bytes, for flame graph tools", suffixes: ["folded"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    for entry in NamedStacks(report, replacing: [";": ","]).entries where entry.outstanding.bytes > 0 {
      output.line(entry.names.reversed().joined(separator: ";") + " \(entry.outstanding.bytes)")
    }
    return output.bytes
  }
}
