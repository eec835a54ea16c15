import FoundationEssentials
import SystemSupport
import TraceModel

/// Reads pprof profiles: our own recordings whole, and heap profiles of others as far as they go.
package enum PprofReader {
  /// The most bytes after decompression, so that a small file cannot fill the memory.
  static let sizeLimit = 1 << 30

  package static func report(from bytes: [UInt8]) throws(Refusal) -> Report {
    var bytes = bytes
    if Gzip.isCompressed(bytes) {
      guard let plain = Gzip.decompress(bytes, limit: sizeLimit) else {
        throw Refusal("the file is damaged or cut short: its gzip stream does not end well")
      }
      bytes = plain
    }
    let profile = try PprofProfile(bytes[...])
    return try profile.report()
  }
}

/// What a profile holds, in its own terms.
struct PprofProfile {
  struct Sample {
    var locations: [UInt64] = []
    var values: [Int64] = []
    var words: [String: String] = [:]
    var numbers: [String: Int64] = [:]
    var own: ArraySlice<UInt8>?
  }
  struct Mapping {
    var start: UInt64 = 0
    var limit: UInt64 = 0
    var offset: UInt64 = 0
    var path = ""
    var buildID = ""
  }
  struct Line {
    var function: UInt64 = 0
    var line: Int64 = 0
  }
  struct Location {
    var mapping: UInt64 = 0
    var address: UInt64 = 0
    var lines: [Line] = []
    var functionOffset: UInt64?
    var unresolved: UnresolvedReason?
    var hasNoModuleOffset = false
  }
  struct Function {
    var name = ""
    var linkageName = ""
    var file = ""
  }

  private(set) var types: [(name: String, unit: String)] = []
  private(set) var samples: [Sample] = []
  private var mappings: [UInt64: Mapping] = [:]
  private var locations: [UInt64: Location] = [:]
  private var functions: [UInt64: Function] = [:]
  private var time: Int64 = 0
  private var duration: Int64 = 0
  private var period: Int64 = 0
  private var own: ArraySlice<UInt8>?
  private var strings: [String] = []

  // MARK: Decoding

  init(_ bytes: ArraySlice<UInt8>) throws(Refusal) {
    // Strings come last, so they are gathered first.
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      if field == 6, case .bytes(let text) = value { strings.append(String(decoding: text, as: UTF8.self)) }
    }
    guard strings.first == "" else { throw Refusal("this is no pprof profile: it has no string table") }
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      switch (field, value) {
      case (1, .bytes(let inner)): types.append(try type(inner))
      case (2, .bytes(let inner)): samples.append(try sample(inner))
      case (3, .bytes(let inner)): try addMapping(inner)
      case (4, .bytes(let inner)): try addLocation(inner)
      case (5, .bytes(let inner)): try addFunction(inner)
      case (9, .integer(let number)): time = Int64(bitPattern: number)
      case (10, .integer(let number)): duration = Int64(bitPattern: number)
      case (12, .integer(let number)): period = Int64(bitPattern: number)
      case (PprofField.own, .bytes(let inner)): own = inner
      default: break
      }
    }
    guard !types.isEmpty else { throw Refusal("this is no pprof profile: it has no sample types") }
    guard samples.allSatisfy({ $0.values.count == types.count }) else {
      throw Refusal("the profile is damaged: a sample has not as many values as there are types")
    }
  }

  private static func forEachField(
    _ bytes: ArraySlice<UInt8>, _ body: (Int, ProtobufReader.Value) throws(Refusal) -> Void
  ) throws(Refusal) {
    var reader = ProtobufReader(bytes)
    while let (field, value) = reader.next() { try body(field, value) }
    if reader.isDamaged { throw Refusal("the profile is damaged or cut short") }
  }

  private func text(_ index: UInt64) throws(Refusal) -> String {
    guard index < UInt64(strings.count) else {
      throw Refusal("the profile is damaged: it names a string that it has not")
    }
    return strings[Int(index)]
  }

  private func type(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> (name: String, unit: String) {
    var result = (name: "", unit: "")
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      guard case .integer(let number) = value else { return }
      if field == 1 { result.name = try text(number) }
      if field == 2 { result.unit = try text(number) }
    }
    return result
  }

  private func numbers(_ value: ProtobufReader.Value) throws(Refusal) -> [UInt64] {
    guard let numbers = ProtobufReader.numbers(value) else { throw Refusal("the profile is damaged or cut short") }
    return numbers
  }

  private func sample(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> Sample {
    var sample = Sample()
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      switch (field, value) {
      case (1, _): sample.locations += try numbers(value)
      case (2, _): sample.values += try numbers(value).map { Int64(bitPattern: $0) }
      case (3, .bytes(let inner)):
        var (key, word, number): (UInt64, UInt64, Int64) = (0, 0, 0)
        try Self.forEachField(inner) { field, value throws(Refusal) in
          guard case .integer(let integer) = value else { return }
          switch field {
          case 1: key = integer
          case 2: word = integer
          case 3: number = Int64(bitPattern: integer)
          default: break
          }
        }
        let name = try text(key)
        if word != 0 { sample.words[name] = try text(word) } else { sample.numbers[name] = number }
      case (PprofField.own, .bytes(let inner)): sample.own = inner
      default: break
      }
    }
    return sample
  }

  private mutating func addMapping(_ bytes: ArraySlice<UInt8>) throws(Refusal) {
    var (id, mapping): (UInt64, Mapping) = (0, Mapping())
    var path: String?
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      if field == PprofField.path, case .bytes(let text) = value { path = String(decoding: text, as: UTF8.self) }
      guard case .integer(let number) = value else { return }
      switch field {
      case 1: id = number
      case 2: mapping.start = number
      case 3: mapping.limit = number
      case 4: mapping.offset = number
      case 5: mapping.path = try text(number)
      case 6: mapping.buildID = try text(number)
      default: break
      }
    }
    if let path { mapping.path = path }
    mappings[id] = mapping
  }

  private mutating func addLocation(_ bytes: ArraySlice<UInt8>) throws(Refusal) {
    var (id, location): (UInt64, Location) = (0, Location())
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      switch (field, value) {
      case (1, .integer(let number)): id = number
      case (2, .integer(let number)): location.mapping = number
      case (3, .integer(let number)): location.address = number
      case (4, .bytes(let inner)):
        var line = Line()
        try Self.forEachField(inner) { field, value throws(Refusal) in
          guard case .integer(let number) = value else { return }
          if field == 1 { line.function = number }
          if field == 2 { line.line = Int64(bitPattern: number) }
        }
        location.lines.append(line)
      case (PprofField.functionOffset, .bytes(let text)):
        location.functionOffset = UInt64(String(decoding: text, as: UTF8.self), radix: 16)
      case (PprofField.hasNoModuleOffset, .integer): location.hasNoModuleOffset = true
      case (PprofField.unresolved, .bytes(let text)):
        location.unresolved = UnresolvedReason(rawValue: String(decoding: text, as: UTF8.self))
      default: break
      }
    }
    locations[id] = location
  }

  private mutating func addFunction(_ bytes: ArraySlice<UInt8>) throws(Refusal) {
    var (id, function): (UInt64, Function) = (0, Function())
    var exact: [Int: String] = [:]
    try Self.forEachField(bytes) { field, value throws(Refusal) in
      if field >= PprofField.own, case .bytes(let text) = value { exact[field] = String(decoding: text, as: UTF8.self) }
      guard case .integer(let number) = value else { return }
      switch field {
      case 1: id = number
      case 2: function.name = try text(number)
      case 3: function.linkageName = try text(number)
      case 4: function.file = try text(number)
      default: break
      }
    }
    if let name = exact[PprofField.name] { function.name = name }
    if let name = exact[PprofField.linkageName] { function.linkageName = name }
    if let file = exact[PprofField.path] { function.file = file }
    functions[id] = function
  }

  // MARK: As a report

  func report() throws(Refusal) -> Report {
    if let own {
      guard var report = try? Self.decoder.decode(Report.self, from: Data(own)) else {
        throw Refusal("the recording is damaged, or of another version of leaktrace")
      }
      for sample in samples {
        let site = try recordedSite(sample)
        if report.freedSites != nil, site.outstanding == Tally() {
          report.freedSites?.append(site)
        } else {
          report.sites.append(site)
        }
      }
      return report
    }
    return try foreignReport()
  }

  private static let decoder: JSONDecoder = {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return decoder
  }()

  private func recordedSite(_ sample: Sample) throws(Refusal) -> AllocationSite {
    guard let bytes = sample.own, var site = try? Self.decoder.decode(PprofSiteRecord.self, from: Data(bytes)) else {
      throw Refusal("the recording is damaged, or of another version of leaktrace")
    }
    site.frames = try frames(sample)
    site.stack.addresses = site.frames.filter { !$0.isInlined }.map(\.address)
    return site
  }

  private func frames(_ sample: Sample) throws(Refusal) -> [Frame] {
    var frames: [Frame] = []
    for id in sample.locations {
      guard let location = locations[id] else {
        throw Refusal("the profile is damaged: it names a location that it has not")
      }
      let mapping = mappings[location.mapping]
      var frame = Frame(address: location.address)
      if let mapping, !mapping.path.isEmpty {
        frame.module = mapping.path
        if !location.hasNoModuleOffset {
          frame.moduleOffset = location.address &- mapping.start &+ mapping.offset
        }
        frame.buildID = mapping.buildID.isEmpty ? nil : mapping.buildID
      }
      for (index, line) in location.lines.enumerated() {
        var named = frame
        if let function = functions[line.function] {
          named.function = function.name
          named.linkageName = function.linkageName.isEmpty ? nil : function.linkageName
          named.file = function.file.isEmpty ? nil : function.file
        }
        named.line = line.line == 0 ? nil : Int(line.line)
        named.isInlined = index < location.lines.count - 1
        if !named.isInlined { named.functionOffset = location.functionOffset }
        frames.append(named)
      }
      if location.lines.isEmpty {
        frame.unresolved = location.unresolved ?? (own == nil ? .noSymbol : nil)
        frames.append(frame)
      }
    }
    return frames
  }

  /// A heap profile that somebody else wrote: values by the usual names of their types.
  private func foreignReport() throws(Refusal) -> Report {
    func column(_ names: String...) -> Int? {
      for name in names { if let index = types.firstIndex(where: { $0.name == name }) { return index } }
      return nil
    }
    let usedBytes = column("inuse_space", "space") ?? types.lastIndex { $0.unit == "bytes" }
    let usedCount = column("inuse_objects", "objects")
    let allBytes = column("alloc_space")
    let allCount = column("alloc_objects")
    guard let usedBytes else {
      throw Refusal(
        "this profile has no bytes in use: its values are \(types.map(\.name).joined(separator: ", "))")
    }
    var report = Report(
      target: Report.Target(kind: .process),
      window: Report.Window(startInUnixSeconds: Double(time) / 1e9, duration: .nanoseconds(max(0, duration))))
    if period > 1 { report.sampling = Report.Sampling(meanInBytes: UInt64(period)) }
    for sample in samples {
      func tally(_ bytes: Int?, _ count: Int?) -> Tally {
        Tally(
          bytes: bytes.map { UInt64(max(0, sample.values[$0])) } ?? 0,
          count: count.map { UInt64(max(0, sample.values[$0])) } ?? 0)
      }
      let outstanding = tally(usedBytes, usedCount)
      var allocated = tally(allBytes, allCount)
      if allBytes == nil { allocated = outstanding }
      let freed = Tally(
        bytes: allocated.bytes - min(allocated.bytes, outstanding.bytes),
        count: allocated.count - min(allocated.count, outstanding.count))
      let frames = try frames(sample)
      let site = AllocationSite(
        processID: Int32(clamping: sample.numbers["pid"] ?? 0), allocationClass: .heap,
        allocator: sample.words["allocator"] ?? "heap", outstanding: outstanding, allocated: allocated, freed: freed,
        stack: StackTrace(addresses: frames.filter { !$0.isInlined }.map(\.address), completeness: .complete),
        frames: frames, verdicts: [.unchecked: outstanding])
      report.totals.outstanding += outstanding
      report.totals.allocated += allocated
      report.totals.freed += freed
      report.sites.append(site)
    }
    report.sites.sort { $0.outstanding.bytes > $1.outstanding.bytes }
    return report
  }
}
