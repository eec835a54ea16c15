import FoundationEssentials
import Quantities
import TextOutput
import TraceModel

/// pprof's gzipped protocol buffer, which is also the recording that `report` and `verify` read again.
///
/// Every site is a sample with the values of a heap profile (allocated and in use), and one pair of values per kind of
/// leak when a check ran. What pprof has no place for is in fields of our own, numbered from ``PprofField/own``, which
/// other readers skip. Field numbers are those of pprof's profile.proto.
package enum PprofReport {
  package static let format = ReportFormat(
    name: "pprof", summary: "recording that `report`, `verify` and `go tool pprof` open",
    suffixes: ["pprof", "pb.gz", "pb"], isRecording: true
  ) { report, _ in render(report) }

  package static func render(_ report: Report) -> [UInt8] {
    var builder = PprofBuilder(report: report)
    return Gzip.compress(builder.build())
  }

  /// Leaves out the fields that only leaktrace reads, which are most of the bytes.
  package static func renderForOthers(_ report: Report) -> [UInt8] {
    var builder = PprofBuilder(report: report)
    builder.hasOwnFields = false
    return Gzip.compress(builder.build())
  }
}

/// Field numbers of our own; far above those of profile.proto.
enum PprofField {
  static let own = 1000
  /// In a location: bytes from the start of the function, in hexadecimal digits.
  static let functionOffset = 1001
  /// In a location: why it has no name.
  static let unresolved = 1002
  /// In a location: the module is known, but not where in it the address is.
  static let hasNoModuleOffset = 1003
  /// In a function: name, name for the linker and file, and in a mapping: path, as they are, where other readers get them
  /// with escapes.
  static let name = 1004
  static let linkageName = 1005
  static let path = 1006
}

/// What a sample keeps beside its values and labels: the site without its stack.
typealias PprofSiteRecord = AllocationSite

/// Collects strings, functions, locations and mappings while samples are written.
private struct PprofBuilder {
  private struct LocationKey: Hashable {
    var processID: Int32
    /// The numbers of the functions at one address: those that are inlined there, and the function itself.
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
  private struct FunctionKey: Hashable {
    var name: String
    var linkageName: String
    var file: String
  }
  private struct MappingKey: Hashable {
    var processID: Int32
    var path: String
    var bias: UInt64
  }
  private struct Mapping {
    var key: MappingKey
    var limit: UInt64
    var buildID: String?
  }

  private let report: Report
  private var output = ProtobufWriter()
  private var stringIDs: [String: UInt64] = ["": 0]
  private var strings: [String] = [""]
  private var functionIDs: [FunctionKey: UInt64] = [:]
  private var functions: [FunctionKey] = []
  private var locationIDs: [LocationKey: UInt64] = [:]
  private var locations: [(frames: ArraySlice<Frame>, mapping: UInt64)] = []
  private let frameNumbers = FrameNumbers()
  private var mappingIDs: [MappingKey: UInt64] = [:]
  private var mappings: [Mapping] = []
  private let encoder = JSONEncoder()
  private let kinds: [VerdictKind]
  /// Whether it is a recording, too.
  var hasOwnFields = true

  init(report: Report) {
    self.report = report
    let isChecked = !report.leakChecks.isEmpty || report.sites.contains { !$0.isUnchecked }
    kinds = isChecked ? VerdictKind.checked : []
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  }

  mutating func build() -> [UInt8] {
    // The program itself comes first: readers take the first mapping for it.
    if let executable = report.target.executable,
      let frame = report.sites.lazy.flatMap(\.frames).first(where: { $0.module == executable && $0.moduleOffset != nil }
      )
    {
      _ = mapping(of: frame, processID: report.target.processID ?? 0)
    }
    for (name, unit) in [
      ("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes"),
    ] {
      writeType(1, name, unit)
    }
    for kind in kinds {
      writeType(1, kind.rawValue + "_objects", "count")
      writeType(1, kind.rawValue + "_space", "bytes")
    }
    for site in report.sites + (report.freedSites ?? []) { write(site) }
    writeTables()
    let start = report.window.startInUnixSeconds
    output.field(9, start.isFinite ? Int64(clamping: Int64(max(-9e9, min(9e9, start)) * 1e9)) : 0)
    output.field(10, report.window.duration.inNanoseconds)
    writeType(11, "space", "bytes")
    output.field(12, Int64(clamping: max(1, report.sampling?.meanInBytes ?? 1)))
    let comments = comments.map { string($0) }
    output.field(13, packed: comments)
    output.field(14, string("inuse_space"))
    var header = report
    header.sites = []
    header.freedSites = report.freedSites.map { _ in [] }
    if hasOwnFields, let bytes = try? encoder.encode(header) { output.field(PprofField.own, Array(bytes)) }
    // The string table last, when every string is known.
    for text in strings { output.field(6, string: text) }
    return output.bytes
  }

  private var comments: [String] {
    var comments = ["leaktrace"]
    if let command = report.target.command { comments.append("target: \(escapedForTerminal(command))") }
    comments += report.loss.filter { $0.value > 0 }.map { "lost: \($0.value) \(escapedForTerminal($0.description))" }
    return comments + report.notes.map { "note: \(escapedForTerminal($0))" }
  }

  private mutating func writeType(_ field: Int, _ name: String, _ unit: String) {
    let (name, unit) = (string(name), string(unit))
    output.field(field) {
      $0.field(1, name)
      $0.field(2, unit)
    }
  }

  // MARK: Samples

  private mutating func write(_ site: AllocationSite) {
    var locationIDs: [UInt64] = []
    var frames = site.shownFrames[...]
    while !frames.isEmpty {
      // A function and all that was inlined into it are one location.
      let end = frames.firstIndex { !$0.isInlined } ?? frames.endIndex - 1
      locationIDs.append(location(frames[...end], processID: site.processID))
      frames = frames[(end + 1)...]
    }
    var values = [site.allocated.count, site.allocated.bytes, site.outstanding.count, site.outstanding.bytes]
    for kind in kinds {
      let tally = site.verdicts[kind] ?? Tally()
      values += [tally.count, tally.bytes]
    }
    let labels = labels(of: site)
    var record = site
    record.frames = []
    record.stack.addresses = []
    let rest = hasOwnFields ? try? encoder.encode(record) : nil
    output.field(2) { sample in
      sample.field(1, packed: locationIDs)
      sample.field(2, packed: values.map { min($0, UInt64(Int64.max)) })
      for label in labels {
        sample.field(3) {
          $0.field(1, label.key)
          $0.field(2, label.text)
          $0.field(3, label.number)
          $0.field(4, label.unit)
        }
      }
      if let rest { sample.field(PprofField.own, Array(rest)) }
    }
  }

  private struct Label {
    var key: UInt64
    var text: UInt64 = 0
    var number: Int64 = 0
    var unit: UInt64 = 0
  }

  private mutating func labels(of site: AllocationSite) -> [Label] {
    var labels: [Label] = []
    func words() -> [(String, String)] {
      var words = [("class", site.allocationClass.rawValue), ("allocator", site.allocator)]
      words.append(("stack", site.stack.completeness.rawValue))
      if let kind = site.worstVerdict { words.append(("verdict", kind.rawValue)) }
      if let growth = site.growth { words.append(("growth", growth.word.rawValue)) }
      if let cache = site.kernel?.cache { words.append(("cache", cache)) }
      return words
    }
    for (key, value) in words() where !value.isEmpty {
      labels.append(Label(key: string(key), text: string(escapedForTerminal(value))))
    }
    labels.append(Label(key: string("pid"), number: Int64(site.processID)))
    if let age = site.oldestAge {
      labels.append(
        Label(key: string("oldest_age"), number: max(0, age.inNanoseconds), unit: string("nanoseconds")))
    }
    return labels
  }

  // MARK: Tables

  private mutating func string(_ text: String) -> UInt64 {
    if let known = stringIDs[text] { return known }
    let id = UInt64(strings.count)
    stringIDs[text] = id
    strings.append(text)
    return id
  }

  private mutating func location(_ frames: ArraySlice<Frame>, processID: Int32) -> UInt64 {
    let key = LocationKey(processID: processID, frames: frames.map { frameNumbers[$0] })
    if let known = locationIDs[key] { return known }
    let mapping = mapping(of: frames.last!, processID: processID)
    let id = UInt64(locations.count + 1)
    locationIDs[key] = id
    locations.append((frames, mapping))
    return id
  }

  private mutating func mapping(of frame: Frame, processID: Int32) -> UInt64 {
    guard let path = frame.module else { return 0 }
    let offset = frame.moduleOffset ?? 0
    let key = MappingKey(
      processID: processID, path: path, bias: frame.moduleOffset == nil ? 0 : frame.address &- offset)
    let limit = (frame.address | 0xfff).addingReportingOverflow(1)
    let end = limit.overflow ? UInt64.max : limit.partialValue
    if let known = mappingIDs[key] {
      mappings[Int(known) - 1].limit = max(mappings[Int(known) - 1].limit, end)
      return known
    }
    let id = UInt64(mappings.count + 1)
    mappingIDs[key] = id
    mappings.append(Mapping(key: key, limit: end, buildID: frame.buildID))
    return id
  }

  private mutating func function(_ frame: Frame) -> UInt64 {
    guard let name = frame.function else { return 0 }
    let key = FunctionKey(name: name, linkageName: frame.linkageName ?? "", file: frame.file ?? "")
    if let known = functionIDs[key] { return known }
    functions.append(key)
    functionIDs[key] = UInt64(functions.count)
    return UInt64(functions.count)
  }

  private mutating func writeTables() {
    let isRecording = hasOwnFields
    // Others print what they read: to a terminal, a page, a log.
    func keep(_ text: String, as field: Int, in writer: inout ProtobufWriter) {
      if isRecording, escapedForTerminal(text) != text { writer.field(field, string: text) }
    }
    for (index, mapping) in mappings.enumerated() {
      let (path, buildID) = (string(escapedForTerminal(mapping.key.path)), string(mapping.buildID ?? ""))
      output.field(3) {
        $0.field(1, UInt64(index + 1))
        $0.field(2, mapping.key.bias)
        $0.field(3, mapping.limit)
        $0.field(5, path)
        $0.field(6, buildID)
        for field in 7...10 { $0.field(field, true) }
        keep(mapping.key.path, as: PprofField.path, in: &$0)
      }
    }
    for (index, location) in locations.enumerated() {
      let lines = location.frames.map { (function($0), Int64($0.line ?? 0), $0.function != nil) }
      let last = location.frames.last!
      output.field(4) { writer in
        writer.field(1, UInt64(index + 1))
        writer.field(2, location.mapping)
        writer.field(3, last.address)
        for (function, line, isNamed) in lines where isNamed {
          writer.field(4) {
            $0.field(1, function)
            $0.field(2, line)
          }
        }
        guard isRecording else { return }
        if let offset = last.functionOffset {
          writer.field(PprofField.functionOffset, string: String(offset, radix: 16))
        }
        writer.field(PprofField.hasNoModuleOffset, last.module != nil && last.moduleOffset == nil)
        if let reason = last.unresolved { writer.field(PprofField.unresolved, string: reason.rawValue) }
      }
    }
    for (index, function) in functions.enumerated() {
      let name = string(escapedForTerminal(function.name))
      let linkageName = string(escapedForTerminal(function.linkageName))
      let file = string(escapedForTerminal(function.file))
      output.field(5) {
        $0.field(1, UInt64(index + 1))
        $0.field(2, name)
        $0.field(3, linkageName)
        $0.field(4, file)
        keep(function.name, as: PprofField.name, in: &$0)
        keep(function.linkageName, as: PprofField.linkageName, in: &$0)
        keep(function.file, as: PprofField.path, in: &$0)
      }
    }
  }
}

extension AllocationSite {
  /// Whether no leak check gave the site a verdict.
  var isUnchecked: Bool { verdicts.allSatisfy { $0.key == .unchecked || $0.value.count == 0 } }

  /// The kind that matters most among its blocks; nil when it was not checked.
  var worstVerdict: VerdictKind? {
    VerdictKind.checked.first { (verdicts[$0]?.count ?? 0) > 0 }
  }
}
