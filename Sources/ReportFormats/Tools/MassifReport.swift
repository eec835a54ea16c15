import Quantities
import TextOutput
import TraceModel

/// massif's output file: the course of outstanding memory, and at its end the tree of its callers.
package enum MassifReport {
  package static let format = ReportFormat(
    name: "massif", summary: "for ms_print and massif-visualizer", suffixes: ["massif", "massif.out"]
  ) { report, _ in render(report) }

  /// Nodes that hold less than this part of the whole are put together, as massif does.
  private static let threshold = 0.01

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    output.line("desc: leaktrace")
    output.line("cmd: " + name(report.target.command ?? report.target.kind.rawValue))
    output.line("time_unit: ms")
    let stacks = NamedStacks(report, written: name)
    let shown = stacks.entries.reduce(into: Tally()) { $0 += $1.outstanding }.bytes
    // The curve is that of everything; it must not drop at its end because some stacks are not to be shown.
    let whole = max(shown, report.totals.outstanding.bytes)
    var snapshot = 0
    for moment in report.timeline where moment.elapsed < report.window.duration {
      write(&output, snapshot, moment.elapsed.inMilliseconds, moment.outstanding.bytes, tree: "empty")
      snapshot += 1
    }
    write(&output, snapshot, report.window.duration.inMilliseconds, whole, tree: "detailed")
    // Every node needs an address: ms_print wants one, although it shows the name.
    let tree = CallTree(
      name: "(heap allocation functions) malloc/new/new[], --alloc-fns, etc.", stacks: stacks, fromLeaf: true)
    write(&output, tree.root, depth: 0, whole: whole, leftOut: whole - shown)
    return output.bytes
  }

  private static func write(_ output: inout ByteWriter, _ number: Int, _ time: Int64, _ bytes: UInt64, tree: String) {
    output.line("#-----------")
    output.line("snapshot=\(number)")
    output.line("#-----------")
    output.line("time=\(max(0, time))")
    output.line("mem_heap_B=\(bytes)")
    output.line("mem_heap_extra_B=0")
    output.line("mem_stacks_B=0")
    output.line("heap_tree=\(tree)")
  }

  /// - Parameter leftOut: bytes of stacks that the report leaves out.
  private static func write(
    _ output: inout ByteWriter, _ node: CallTree.Node, depth: Int, whole: UInt64, leftOut: UInt64 = 0
  ) {
    let large = node.children.filter { Double($0.outstanding.bytes) >= Double(whole) * threshold }
    let small = node.children.count - large.count
    let indent = String(repeating: " ", count: depth)
    let address = depth == 0 ? "" : "0x\(String(depth, radix: 16)): "
    let count = large.count + (small > 0 ? 1 : 0) + (leftOut > 0 ? 1 : 0)
    output.line("\(indent)n\(count): \(node.outstanding.bytes + leftOut) \(address)\(name(node.name))")
    if leftOut > 0 { output.line("\(indent) n0: \(leftOut) 0x0: [stacks that are left out]") }
    for child in large { write(&output, child, depth: depth + 1, whole: whole) }
    guard small > 0 else { return }
    let rest =
      node.children.reduce(UInt64(0)) { $0 &+ $1.outstanding.bytes }
      &- large.reduce(UInt64(0)) { $0 &+ $1.outstanding.bytes }
    let places = small == 1 ? "1 place" : "\(small) places"
    output.line("\(indent) n0: \(rest) in \(places), all below massif's threshold (1.00%)")
  }

  /// ms_print ends a line at `#`.
  private static func name(_ text: String) -> String { singleLine(text, replacing: ["#": "_"]) }
}
