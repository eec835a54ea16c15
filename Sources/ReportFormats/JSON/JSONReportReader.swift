import FoundationEssentials
import Quantities
import SystemSupport
import TraceModel

/// Reads leaktrace's own JSON reports again: every format shows of them what it shows of the report itself.
package enum JSONReportReader {
  package static func isReport(_ bytes: [UInt8]) -> Bool { bytes.first == UInt8(ascii: "{") }

  /// Reads the last report of a file that has one on each line.
  package static func report(from bytes: [UInt8]) throws(Refusal) -> Report {
    let lines = bytes.split(separator: UInt8(ascii: "\n"))
    // A document of several lines is one that somebody has laid out anew.
    let isOnePerLine = lines.allSatisfy { $0.first == UInt8(ascii: "{") }
    let text = isOnePerLine ? Data(lines.last ?? []) : Data(bytes)
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let document: JSONDocument
    do { document = try decoder.decode(JSONDocument.self, from: text) } catch {
      throw Refusal("this is no JSON report of leaktrace, or it is damaged or cut short")
    }
    guard document.schema == JSONReport.schema else {
      throw Refusal("this is JSON, but no report of leaktrace: its schema is not \(JSONReport.schema)")
    }
    var report = document.report
    if isOnePerLine, lines.count > 1 {
      report.notes.append("the file has \(groupedNumber(lines.count)) reports: this is the last")
    }
    return report
  }

  static func duration(_ seconds: Double) -> Duration {
    // To the nanosecond, as it was written.
    seconds.isFinite ? .nanoseconds(Int64((max(-9e9, min(9e9, seconds)) * 1e9).rounded())) : .zero
  }

  static func address(_ text: String) -> UInt64 {
    UInt64(text.hasPrefix("0x") ? text.dropFirst(2) : text[...], radix: 16) ?? 0
  }
}

/// A JSON report as it stands, of which some parts are in JSONDocument+Details.swift.
struct JSONDocument: Decodable {
  struct Amount: Decodable {
    var bytes: UInt64
    var count: UInt64
    var tally: Tally { Tally(bytes: bytes, count: count) }
  }
  struct Target: Decodable {
    struct Program: Decodable {
      var executable: String?
      var buildId: String?
      var allocator: String?
    }
    var kind: Report.Target.Kind
    var pid: Int32?
    var command: String?
    var executable: String?
    var exitStatus: Int32?
    var kernelRelease: String?
    var programs: [Program]?
  }
  struct Window: Decodable {
    var startUnixSeconds: Double
    var durationSeconds: Double
  }
  struct Sampling: Decodable {
    var meanBytes: UInt64
    var everyNth: UInt64?
    var thinnedAfterSeconds: Double?
    var thinnedBeyondBlocks: UInt64?

    var sampling: Report.Sampling {
      var thinning: Report.Sampling.Thinning?
      if let thinnedAfterSeconds, let thinnedBeyondBlocks {
        thinning = Report.Sampling.Thinning(
          begin: JSONReportReader.duration(thinnedAfterSeconds), blocks: thinnedBeyondBlocks)
      }
      return Report.Sampling(meanInBytes: meanBytes, everyNth: everyNth, thinning: thinning)
    }
  }
  struct Totals: Decodable {
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var allocatedBytes: UInt64
    var allocatedCount: UInt64
    var freedBytes: UInt64
    var freedCount: UInt64
    var unmatchedFrees: UInt64?
    var outstandingBytesStandardError: Double?

    var outstanding: Tally { Tally(bytes: outstandingBytes, count: outstandingCount) }
    var allocated: Tally { Tally(bytes: allocatedBytes, count: allocatedCount) }
    var freed: Tally { Tally(bytes: freedBytes, count: freedCount) }
    var totals: Report.Totals {
      Report.Totals(
        outstanding: outstanding, allocated: allocated, freed: freed, unmatchedFrees: unmatchedFrees ?? 0,
        outstandingBytesStandardError: outstandingBytesStandardError)
    }
  }
  struct Process: Decodable {
    var pid: Int32
    var parentPid: Int32?
    var cgroup: String?
    var command: String
    var state: Report.ProcessTotals.State
    var totals: Totals

    private enum Keys: String, CodingKey { case pid, parentPid, cgroup, command, state }
    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: Keys.self)
      pid = try values.decode(Int32.self, forKey: .pid)
      parentPid = try values.decodeIfPresent(Int32.self, forKey: .parentPid)
      cgroup = try values.decodeIfPresent(String.self, forKey: .cgroup)
      command = try values.decode(String.self, forKey: .command)
      state = try values.decode(Report.ProcessTotals.State.self, forKey: .state)
      totals = try Totals(from: decoder)
    }
  }
  struct Growth: Decodable {
    var word: GrowthEvidence.Word
    var slopeBytesPerSecond: Double?
    var lowerBytesPerSecond: Double?
    var upperBytesPerSecond: Double?
    var confidence: Double
    var windows: Int
    var generationsAlive: Int
    var survival: Double?

    var evidence: GrowthEvidence {
      GrowthEvidence(
        word: word, slopeInBytesPerSecond: slopeBytesPerSecond ?? .nan, lowerSlope: lowerBytesPerSecond ?? -.infinity,
        upperSlope: upperBytesPerSecond ?? .infinity, confidence: confidence, windows: windows,
        generationsAlive: generationsAlive, survival: survival)
    }
  }
  struct NamedFrame: Decodable {
    var address: String
    var function: String?
    var linkageName: String?
    var offset: UInt64?
    var module: String?
    var moduleOffset: UInt64?
    var buildId: String?
    var file: String?
    var line: Int?
    var inlined: Bool
    var unresolved: String?

    var frame: Frame {
      var frame = Frame(
        address: JSONReportReader.address(address), function: function, functionOffset: offset, module: module,
        moduleOffset: moduleOffset, buildID: buildId, file: file, line: line, isInlined: inlined,
        unresolved: unresolved.flatMap { UnresolvedReason(rawValue: $0) })
      frame.linkageName = linkageName
      return frame
    }
  }
  struct HolderSum: Decodable {
    var holder: String
    var bytes: UInt64
    var count: UInt64
  }
  struct Kernel: Decodable {
    var cache: String?
    var aliases: [String]
    var reclaimable: Bool
    var suspect: Bool
    var reusedCount: UInt64
    var doubt: String?
    var beforeStacks: Amount?
    var processes: [KernelShare]?
  }
  struct Site: Decodable {
    var pid: Int32
    var threadId: Int32?
    var threadName: String?
    var `class`: AllocationClass
    var allocator: String
    var oldestAgeSeconds: Double?
    var stackCompleteness: StackTrace.Completeness
    var verdict: [String: Amount]
    var keeps: Amount
    var holders: [HolderSum]
    var growth: Growth?
    var ownGrowth: Growth?
    var heldBeforeEnd: Amount?
    var heldBy: [HeldBy]?
    var freedAt: [FreedAt]?
    var course: Course?
    var shares: [Share]?
    var kernel: Kernel?
    var frames: [NamedFrame]
    var allocations: [Allocation]
    var totals: Totals

    private enum Keys: String, CodingKey {
      case pid, threadId, threadName, `class`, allocator, oldestAgeSeconds, stackCompleteness, verdict, keeps, holders,
        growth, ownGrowth, heldBeforeEnd, heldBy, freedAt, course, shares
      case kernel, frames, allocations
    }
    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: Keys.self)
      pid = try values.decode(Int32.self, forKey: .pid)
      threadId = try values.decodeIfPresent(Int32.self, forKey: .threadId)
      threadName = try values.decodeIfPresent(String.self, forKey: .threadName)
      `class` = try values.decode(AllocationClass.self, forKey: .`class`)
      allocator = try values.decode(String.self, forKey: .allocator)
      oldestAgeSeconds = try values.decodeIfPresent(Double.self, forKey: .oldestAgeSeconds)
      stackCompleteness = try values.decode(StackTrace.Completeness.self, forKey: .stackCompleteness)
      verdict = try values.decode([String: Amount].self, forKey: .verdict)
      keeps = try values.decode(Amount.self, forKey: .keeps)
      holders = try values.decode([HolderSum].self, forKey: .holders)
      growth = try values.decodeIfPresent(Growth.self, forKey: .growth)
      ownGrowth = try values.decodeIfPresent(Growth.self, forKey: .ownGrowth)
      heldBeforeEnd = try values.decodeIfPresent(Amount.self, forKey: .heldBeforeEnd)
      heldBy = try values.decodeIfPresent([HeldBy].self, forKey: .heldBy)
      freedAt = try values.decodeIfPresent([FreedAt].self, forKey: .freedAt)
      course = try values.decodeIfPresent(Course.self, forKey: .course)
      shares = try values.decodeIfPresent([Share].self, forKey: .shares)
      allocations = try values.decodeIfPresent([Allocation].self, forKey: .allocations) ?? []
      kernel = try values.decodeIfPresent(Kernel.self, forKey: .kernel)
      frames = try values.decode([NamedFrame].self, forKey: .frames)
      totals = try Totals(from: decoder)
    }

    var site: AllocationSite {
      let named = frames.map(\.frame)
      // Of a stack that was not named there are addresses only.
      let isNamed = named.contains { $0.function != nil || $0.module != nil || $0.unresolved != nil }
      var verdicts: [VerdictKind: Tally] = [:]
      for (name, amount) in verdict where amount.count > 0 || amount.bytes > 0 {
        if let kind = VerdictKind(rawValue: name) { verdicts[kind] = amount.tally }
      }
      var site = AllocationSite(
        processID: pid, allocationClass: `class`, allocator: allocator, outstanding: totals.outstanding,
        allocated: totals.allocated, freed: totals.freed,
        outstandingBytesStandardError: totals.outstandingBytesStandardError,
        oldestAge: oldestAgeSeconds.map(JSONReportReader.duration),
        stack: StackTrace(
          addresses: named.filter { !$0.isInlined }.map(\.address), completeness: stackCompleteness),
        frames: isNamed ? named : [],
        verdicts: verdicts)
      (site.threadID, site.threadName, site.keeps) = (threadId, threadName, keeps.tally)
      for sum in holders { site.holders[sum.holder] = Tally(bytes: sum.bytes, count: sum.count) }
      site.growth = growth?.evidence
      site.ownGrowth = ownGrowth?.evidence
      site.heldBeforeEnd = heldBeforeEnd?.tally
      site.heldBy = heldBy.map { $0.map(\.holder) }
      site.freedAt = freedAt.map { $0.map(\.place) }
      site.course = course?.course
      site.shares = shares.map { shares in shares.map { $0.share(of: site) } }
      site.allocations = allocations.map(\.allocation)
      site.kernel = kernel.map {
        KernelSiteDetails(
          cache: $0.cache, aliases: $0.aliases, isReclaimable: $0.reclaimable,
          processes: ($0.processes ?? []).map(\.share), reusedCount: $0.reusedCount, doubt: $0.doubt,
          isSuspect: $0.suspect)
      }
      site.kernel?.earlier = kernel?.beforeStacks?.tally
      return site
    }
  }
  struct Check: Decodable {
    var pid: Int32
    var method: LeakCheckSummary.Method
    var pausedSeconds: Double
    var tookSeconds: Double
    var searchedBytes: UInt64
    var definitelyLost: Amount
    var indirectlyLost: Amount
    var possiblyLost: Amount
    var stillReachable: Amount
    var unchecked: Amount
    var growing: Amount?
    var suppressed: Amount
    var notes: [String]

    var summary: LeakCheckSummary {
      var summary = LeakCheckSummary(
        processID: pid, paused: JSONReportReader.duration(pausedSeconds),
        took: JSONReportReader.duration(tookSeconds), scannedBytes: searchedBytes,
        kinds: [
          .definitelyLost: definitelyLost.tally, .indirectlyLost: indirectlyLost.tally,
          .possiblyLost: possiblyLost.tally, .stillReachable: stillReachable.tally, .unchecked: unchecked.tally,
        ].filter { $0.value.count > 0 || $0.value.bytes > 0 }, suppressed: suppressed.tally, method: method,
        notes: notes)
      summary.growing = growing?.tally
      return summary
    }
  }
  struct LeftOut: Decodable {
    var sites: Int
    var bytes: UInt64
    var count: UInt64
  }
  struct Filter: Decodable {
    var words: String
    var wholeBytes: UInt64
    var wholeCount: UInt64
  }
  struct Settings: Decodable {
    var minimumSize: UInt64
    var maximumSize: UInt64
    var minimumAgeSeconds: Double
    var mappings: Bool
  }
  struct MissingFile: Decodable {
    var module: String
    var buildId: String?
    var frames: UInt64
    var package: String?
  }
  var missingSymbols: [MissingFile]?
  struct Threads: Decodable {
    struct Ended: Decodable {
      var count: Int
      var reservedBytes: UInt64
      var residentBytes: UInt64
      var start: [NamedFrame]
      var creator: [NamedFrame]
    }
    var pid: Int32
    var running: Int
    var cachedStacks: Int?
    var reservedBytes: UInt64
    var residentBytes: UInt64
    var endedNotJoined: [Ended]?

    var summary: ThreadSummary {
      ThreadSummary(
        processID: pid, running: running, cachedStacks: cachedStacks, reservedBytes: reservedBytes,
        residentBytes: residentBytes,
        ended: endedNotJoined.map { all in
          all.map {
            ThreadSummary.EndedThreads(
              count: $0.count, reservedBytes: $0.reservedBytes, residentBytes: $0.residentBytes,
              start: $0.start.map(\.frame), creator: $0.creator.map(\.frame))
          }
        })
    }
  }
  struct Unexplained: Decodable {
    struct Part: Decodable {
      var `class`: UnexplainedGrowth.Class
      var bytes: UInt64
    }
    var pid: Int32
    var bytes: UInt64
    var parts: [Part]
  }
  struct Moment: Decodable {
    var elapsedSeconds: Double
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var residentBytes: UInt64?
  }

  var schema: String
  var target: Target
  var window: Window
  var sampling: Sampling?
  var totals: Totals
  var processes: [Process]
  var loss: [String: UInt64]
  var counterDescriptions: [String: String]?
  var probes: [Probe]?
  var sites: [Site]
  var freedSites: [Site]?
  var leakChecks: [Check]
  var leftOut: LeftOut
  var beyondLimit: LeftOut?
  var suppressions: [Suppression]?
  var explanations: [Explanation]?
  var retention: [Retention]?
  var memoryLimit: MemoryLimit?
  var kernel: KernelMemory?
  var filter: Filter?
  var settings: Settings?
  var timeline: [Moment]?
  var threads: [Threads]?
  var unexplainedGrowth: [Unexplained]?
  var notes: [String]

  var report: Report {
    var report = Report(
      target: Report.Target(
        kind: target.kind, processID: target.pid, command: target.command, executable: target.executable,
        exitStatus: target.exitStatus),
      window: Report.Window(
        startInUnixSeconds: window.startUnixSeconds, duration: JSONReportReader.duration(window.durationSeconds)),
      sampling: sampling?.sampling,
      totals: totals.totals,
      processes: processes.map {
        Report.ProcessTotals(
          processID: $0.pid, parentProcessID: $0.parentPid, command: $0.command, state: $0.state,
          totals: $0.totals.totals,
          controlGroup: $0.cgroup)
      },
      loss: counters(loss), sites: sites.map(\.site), notes: notes)
    report.target.kernelRelease = target.kernelRelease
    report.target.programs = target.programs?.map {
      Report.Program(executable: $0.executable, buildID: $0.buildId, allocator: $0.allocator)
    }
    report.freedSites = freedSites?.map(\.site)
    report.leakChecks = leakChecks.map(\.summary)
    report.leftOutSites = leftOut.sites
    report.leftOut = Tally(bytes: leftOut.bytes, count: leftOut.count)
    if let beyondLimit, beyondLimit.sites > 0 {
      report.beyondLimit = Report.Omission(
        sites: beyondLimit.sites, outstanding: Tally(bytes: beyondLimit.bytes, count: beyondLimit.count))
    }
    report.probes = (probes ?? []).compactMap(\.probe)
    report.suppressions = (suppressions ?? []).map(\.use)
    report.explanations = (explanations ?? []).map(\.explanation)
    report.retention = (retention ?? []).map(\.summary)
    report.memoryLimit = memoryLimit.map { Report.MemoryLimit(leftInBytes: $0.leftBytes, name: $0.name) }
    report.kernelMemory = kernel?.summary(counters)
    report.filter = filter.map {
      Report.Filter(words: $0.words, whole: Tally(bytes: $0.wholeBytes, count: $0.wholeCount))
    }
    report.settings = settings.map {
      var settings = Report.Settings()
      (settings.minimumSizeInBytes, settings.maximumSizeInBytes) = ($0.minimumSize, $0.maximumSize)
      settings.minimumAge = JSONReportReader.duration($0.minimumAgeSeconds)
      settings.tracesMappings = $0.mappings
      return settings
    }
    report.timeline = (timeline ?? []).map {
      Report.Moment(
        elapsed: JSONReportReader.duration($0.elapsedSeconds),
        outstanding: Tally(bytes: $0.outstandingBytes, count: $0.outstandingCount), residentBytes: $0.residentBytes)
    }
    report.missingSymbols = missingSymbols.map { files in
      files.map { MissingSymbols(module: $0.module, buildID: $0.buildId, frames: $0.frames, package: $0.package) }
    }
    report.threads = threads.map { $0.map(\.summary) }
    report.unexplained = unexplainedGrowth.map { all in
      all.map { growth in
        UnexplainedGrowth(
          processID: growth.pid, bytes: growth.bytes,
          parts: growth.parts.map { UnexplainedGrowth.Part(kind: $0.class, bytes: $0.bytes) })
      }
    }
    return report
  }

  /// What they mean is known of those that counted something; older reports have names only.
  private func counters(_ values: [String: UInt64]) -> [Report.LossCounter] {
    values.sorted { $0.key < $1.key }.map {
      Report.LossCounter(
        name: $0.key, description: counterDescriptions?[$0.key] ?? "counted as \($0.key)", value: $0.value)
    }
  }
}
