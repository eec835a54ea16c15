import TextOutput
import TraceModel

/// The heap profile of gperftools as text: what google-pprof and jeprof read.
package enum GperftoolsReport {
  package static let format = ReportFormat(
    name: "gperftools", summary: "heap profile for google-pprof", suffixes: ["heap"]
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var output = ByteWriter()
    var outstanding = Tally()
    var allocated = Tally()
    for site in report.sites {
      outstanding += site.outstanding
      allocated += site.allocated
    }
    // `heapprofile`: the numbers are not to be scaled by the reader, also where they are estimates.
    output.line("heap profile: \(numbers(outstanding)) [\(numbers(allocated))] @ heapprofile")
    for site in report.sites {
      let addresses = site.shownFrames.filter { !$0.isInlined }.map { " " + hexadecimal($0.address) }.joined()
      output.line("  \(numbers(site.outstanding)) [\(numbers(site.allocated))] @\(addresses)")
    }
    output.line()
    output.line("MAPPED_LIBRARIES:")
    for module in ModuleRanges(report).ranges {
      let range = String(module.start, radix: 16) + "-" + String(module.end, radix: 16)
      output.line("\(range) r-xp 00000000 00:00 0          \(singleLine(module.path))")
    }
    return output.bytes
  }

  private static func numbers(_ tally: Tally) -> String { "\(tally.count): \(tally.bytes)" }
}

/// Where the modules of a report's frames lie, as far as the frames tell.
struct ModuleRanges {
  struct Range {
    var path: String
    /// Where the module's virtual address 0 lies.
    var start: UInt64
    var end: UInt64
  }
  private(set) var ranges: [Range] = []

  init(_ report: Report) {
    struct Key: Hashable {
      var path: String
      var start: UInt64
    }
    var ends: [Key: UInt64] = [:]
    for frame in report.sites.lazy.flatMap(\.shownFrames) {
      guard let path = frame.module, let offset = frame.moduleOffset, offset <= frame.address else { continue }
      let key = Key(path: path, start: frame.address - offset)
      let page = (frame.address | 0xfff).addingReportingOverflow(1)
      ends[key] = max(ends[key] ?? 0, page.overflow ? .max : page.partialValue)
    }
    ranges = ends.map { Range(path: $0.key.path, start: $0.key.start, end: $0.value) }.sorted {
      ($0.start, $0.end, $0.path) < ($1.start, $1.end, $1.path)
    }
  }
}
