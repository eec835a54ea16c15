import Quantities
import TextOutput
import TraceModel

/// A flame graph as one SVG with its own script: zoom by click, search, icicle or bottom-up, bytes or blocks.
package enum FlameGraphReport {
  package static let format = ReportFormat(
    name: "flamegraph", summary: "interactive flame graph, one SVG file", suffixes: ["svg"]
  ) { report, _ in render(report) }

  static let width = 1200.0
  static let rowHeight = 17.0
  static let top = 66.0

  package static func render(_ report: Report) -> [UInt8] {
    let stacks = NamedStacks(report) { singleLine($0) }
    let tree = CallTree(name: "all", stacks: stacks, fromLeaf: false)
    var layout = FlameLayout(root: tree.root)
    layout.run()
    let height = top + Double(layout.depth) * rowHeight + 30
    var output = ByteWriter()
    output.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
    output.line(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"flame\" width=\"\(Int(width))\" height=\"\(Int(height))\" "
        + "viewBox=\"0 0 \(Int(width)) \(Int(height))\" font-family=\"ui-monospace,Menlo,monospace\" font-size=\"12\">")
    output.line("<title>\(escapedForMarkup(title(report)))</title>")
    output.line("<style>\(style)</style>")
    output.line("<rect class=\"page\" width=\"100%\" height=\"100%\"/>")
    output.line("<text class=\"head\" x=\"10\" y=\"22\">\(escapedForMarkup(title(report)))</text>")
    output.line(
      "<text id=\"info\" x=\"10\" y=\"58\">\(ByteSize.exact(tree.root.outstanding.bytes)) in \(counted(tree.root.outstanding.count, "block"))</text>"
    )
    for (index, item) in ["Reset", "Bottom-up", "Blocks", "Search"].enumerated() {
      output.line("<text class=\"button\" id=\"\(item)\" x=\"\(10 + index * 110)\" y=\"40\">\(item)</text>")
    }
    output.line("<g id=\"frames\">")
    for box in layout.boxes { write(box, whole: tree.root.outstanding, to: &output) }
    output.line("</g>")
    output.write("<script type=\"application/json\" id=\"stacks\"><![CDATA[")
    output.write(stacksAsJSON(stacks))
    output.line("]]></script>")
    output.line("<script><![CDATA[")
    output.write(FlameGraphScript.source)
    output.line("]]></script>")
    output.line("</svg>")
    return output.bytes
  }

  static func title(_ report: Report) -> String {
    "Outstanding memory: " + (report.target.command ?? report.target.kind.rawValue)
  }

  private static func write(_ box: FlameLayout.Box, whole: Tally, to output: inout ByteWriter) {
    let x = number(box.start * width)
    let length = number(max(0.5, box.share * width - 0.5))
    let y = number(top + Double(box.depth) * rowHeight)
    let percent = number(100 * Double(box.node.outstanding.bytes) / Double(max(1, whole.bytes)))
    let name = escapedForMarkup(box.node.name)
    output.write(
      "<g class=\"f\"><title>\(name): \(ByteSize.exact(box.node.outstanding.bytes)) in \(counted(box.node.outstanding.count, "block")), \(percent) %</title>"
    )
    output.write("<rect x=\"\(x)\" y=\"\(y)\" width=\"\(length)\" height=\"16\" fill=\"\(color(box.node.name))\"/>")
    let room = Int(saturating: box.share * width / 7.3)
    if room >= 3 {
      let text = box.node.name.count <= room ? box.node.name : String(box.node.name.prefix(room - 1)) + "…"
      output.write(
        "<text x=\"\(number(box.start * width + 3))\" y=\"\(number(top + Double(box.depth) * rowHeight + 12))\">\(escapedForMarkup(text))</text>"
      )
    }
    output.line("</g>")
  }

  /// The colour of a name, which is the same in every picture: a warm one, chosen by a hash of the name.
  static func color(_ name: String) -> String {
    var hash: UInt32 = 2_166_136_261
    for byte in name.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return "hsl(\(8 + hash % 45),\(62 + hash / 64 % 25)%,\(60 + hash / 4096 % 14)%)"
  }

  /// At most two decimals.
  static func number(_ value: Double) -> String {
    let hundredths = Int(saturating: (value * 100).rounded())
    return hundredths % 100 == 0 ? "\(hundredths / 100)" : "\(Double(hundredths) / 100)"
  }

  /// Names once, stacks as indices, root first: `{"names":[…],"stacks":[[bytes,blocks,i,i,…],…]}`. In CDATA, so `]]>`
  /// must not appear: `>` is written as an escape.
  static func stacksAsJSON(_ stacks: NamedStacks) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.key("names")
      writer.array(stacks.names) { $0.string($1) }
      writer.key("stacks")
      writer.array(stacks.entries) { writer, entry in
        writer.array([entry.outstanding.bytes, entry.outstanding.count] + entry.path.reversed().map { UInt64($0) }) {
          $0.integer($1)
        }
      }
    }
    return withoutMarkup(writer.bytes)
  }

  static let style = """
    .page{fill:#fff}.head{font-size:15px}text{fill:#222}.button{cursor:pointer;fill:#06c}.f{cursor:pointer}
    .f text{pointer-events:none;fill:#111}.f:hover rect{stroke:#000}.hit rect{fill:#b14ae0}
    @media (prefers-color-scheme:dark){.page{fill:#16181d}text{fill:#ddd}.button{fill:#7ab7ff}.f text{fill:#111}}
    """
}

/// Where each node of a tree is drawn: parts of the width, from the root down.
private struct FlameLayout {
  struct Box {
    var node: CallTree.Node
    var start: Double
    var share: Double
    var depth: Int
  }
  let root: CallTree.Node
  private(set) var boxes: [Box] = []
  private(set) var depth = 0
  /// Boxes narrower than this part of the picture are not drawn.
  private let smallest = 0.0005

  init(root: CallTree.Node) { self.root = root }

  mutating func run() { place(root, start: 0, share: 1, depth: 0) }

  private mutating func place(_ node: CallTree.Node, start: Double, share: Double, depth: Int) {
    boxes.append(Box(node: node, start: start, share: share, depth: depth))
    self.depth = max(self.depth, depth + 1)
    var position = start
    for child in node.children {
      let part = share * Double(child.outstanding.bytes) / Double(max(1, node.outstanding.bytes))
      guard part >= smallest else { break }
      place(child, start: position, share: part, depth: depth + 1)
      position += part
    }
  }
}
