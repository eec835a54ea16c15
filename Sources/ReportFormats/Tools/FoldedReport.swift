import TextOutput
import TraceModel

/// One line per stack, `root;…;leaf BYTES`: what flame graph tools read.
package enum FoldedReport {
  package static let format = ReportFormat(
    name: "folded", summary: "one line per stack with its bytes, for flame graph tools", suffixes: ["folded"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    let stacks = NamedStacks(report, written: foldedFrame)
    let names = stacks.names.map { Array($0.utf8) }
    for entry in stacks.entries where entry.outstanding.bytes > 0 {
      for (index, name) in entry.path.reversed().enumerated() {
        if index > 0 { output.write(UInt8(ascii: ";")) }
        output.write(names[name])
      }
      output.line(" \(entry.outstanding.bytes)")
    }
    return output.bytes
  }
}
