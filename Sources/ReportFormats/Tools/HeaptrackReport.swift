import Quantities
import TextOutput
import TraceModel

/// heaptrack's data file, version 3: what heaptrack_print and heaptrack_gui read.
///
/// heaptrack knows single allocations, a report sums by site: each site becomes as many blocks as are outstanding, of
/// its mean size, and one that makes the sum right. Beyond ``blockLimit`` blocks of a site stand together for larger ones.
package enum HeaptrackReport {
  package static let format = ReportFormat(
    name: "heaptrack", summary: "for heaptrack_print and heaptrack_gui", suffixes: ["heaptrack"]
  ) { report, _ in render(report) }

  /// Blocks written for all sites together.
  static let blockLimit: UInt64 = 2_000_000

  package static func render(_ report: Report) -> [UInt8] {
    var writer = HeaptrackWriter()
    writer.output.line("v 10400 3")
    writer.output.line("X " + singleLine(report.target.command ?? report.target.kind.rawValue))
    writer.output.line("I 1000 0")
    // A recording can claim any count. What its sum leaves out must not be written one by one.
    let count = report.sites.reduce(UInt64(0)) { sum, site in
      let (sum, isTooLarge) = sum.addingReportingOverflow(site.outstanding.count)
      return isTooLarge ? .max : sum
    }
    let scale = max(1, count / blockLimit + (count % blockLimit > 0 && count > blockLimit ? 1 : 0))
    for site in report.sites where site.outstanding.bytes > 0 { writer.write(site, scale: scale) }
    writer.output.line("c " + String(max(0, report.window.duration.inMilliseconds), radix: 16))
    return writer.output.bytes
  }
}

/// Tables of heaptrack's file while it is written; indices begin at 1, those of allocations at 0.
private struct HeaptrackWriter {
  private struct PointerKey: Hashable {
    var address: UInt64
    /// An instruction pointer for each function that is inlined at the address, and one for the function itself.
    var frames: [Int]
  }
  private final class FrameNumbers {
    private var count = 0
    private lazy var numbers = FrameCache { [unowned self] _ in
      count += 1
      return count
    }
    subscript(frame: Frame) -> Int { numbers[frame] }
  }
  private let frameNumbers = FrameNumbers()
  private struct TraceKey: Hashable {
    var pointer: Int
    var parent: Int
  }
  private struct ClassKey: Hashable {
    var size: UInt64
    var trace: Int
  }
  var output = ByteWriter()
  private var strings: [String: Int] = [:]
  private var pointers: [PointerKey: Int] = [:]
  private var traces: [TraceKey: Int] = [:]
  private var classes: [ClassKey: Int] = [:]

  mutating func write(_ site: AllocationSite, scale: UInt64) {
    var parent = 0
    var locations: [ArraySlice<Frame>] = []
    var frames = site.shownFrames[...]
    while !frames.isEmpty {
      let end = frames.firstIndex { !$0.isInlined } ?? frames.endIndex - 1
      locations.append(frames[...end])
      frames = frames[(end + 1)...]
    }
    for location in locations.reversed() { parent = trace(pointer(location), parent) }
    if locations.isEmpty { parent = trace(pointer([Frame(address: 0, function: "[no stack]")]), 0) }
    let blocks = max(1, site.outstanding.count / scale)
    let size = site.outstanding.bytes / blocks
    let last = site.outstanding.bytes - size * (blocks - 1)
    if blocks > 1 {
      let common = allocation(size, parent)
      let line = "+ " + String(common, radix: 16)
      for _ in 1..<blocks { output.line(line) }
    }
    output.line("+ " + String(allocation(last, parent), radix: 16))
  }

  private mutating func string(_ text: String) -> Int {
    // A line each: no newline is left in a name, and the length is in bytes.
    let text = singleLine(text)
    if let known = strings[text] { return known }
    strings[text] = strings.count + 1
    output.line("s " + String(text.utf8.count, radix: 16) + " " + text)
    return strings.count
  }

  private mutating func pointer(_ frames: ArraySlice<Frame>) -> Int {
    let address = frames.last?.address ?? 0
    let key = PointerKey(address: address, frames: frames.map { frameNumbers[$0] })
    if let known = pointers[key] { return known }
    let module = string(frames.last?.module ?? "[unknown]")
    var line = "i \(hex(address)) \(hex(module))"
    // The function itself first, then what was inlined into it, outermost first.
    for frame in frames.reversed() {
      line += " " + hex(string(frame.plainName))
      let file = frame.file.map { string($0) } ?? 0
      line += " \(hex(file)) \(hex(max(0, frame.line ?? 0)))"
    }
    output.line(line)
    pointers[key] = pointers.count + 1
    return pointers.count
  }

  private mutating func trace(_ pointer: Int, _ parent: Int) -> Int {
    let key = TraceKey(pointer: pointer, parent: parent)
    if let known = traces[key] { return known }
    output.line("t \(hex(pointer)) \(hex(parent))")
    traces[key] = traces.count + 1
    return traces.count
  }

  private mutating func allocation(_ size: UInt64, _ trace: Int) -> Int {
    let key = ClassKey(size: size, trace: trace)
    if let known = classes[key] { return known }
    output.line("a \(hex(size)) \(hex(trace))")
    classes[key] = classes.count
    return classes.count - 1
  }

  private func hex(_ value: some BinaryInteger) -> String { String(value, radix: 16) }
}
