import FoundationEssentials
import HostObservation
import LeakAnalysis
import TestTools
import Testing
import TraceModel
import Watch

@testable import ReportFormats
@testable import WatchServer

/// Damaged input for every parser of what users and clients write: it may be refused, and nothing else may happen. Object files,
/// call-frame information, debug information, perf maps and lines of mappings have suites of their own beside the other
/// tests of their readers.
struct ParserFuzzTests {
  private static let configuration = """
    # everything
    budget = 5%
    interval = 10s
    target = unit:nginx.service
    target = cgroup:/a/b
    listen = [::1]:9777
    socket = /run/leaktrace/watch.sock
    host-name = db1.example.net
    profile-addresses = yes
    history-size = 64m
    on-alert = "mail -s alert root"
    push-pyroscope = http://10.0.0.5:4040/prefix
    push-label = region=eu-west
    """

  private static let suppressions = """
    # LeakSanitizer
    leak:libfoo.so
    leak:*bar*
    {
      name of it
      Memcheck:Leak
      match-leak-kinds: definite,possible
      fun:malloc
      ...
      obj:/usr/lib/*.so
      fun:_ZN3foo*
    }
    """

  private static let heapProfile = """
    heap profile:      2:      300 [    3:      400] @ heapprofile
         1:      100 [     2:      200] @ 0x401000 0x402000
         1:      200 [     1:      200] @ 0x403000

    MAPPED_LIBRARIES:
    00400000-00500000 r-xp 00000000 08:01 1234 /bin/x
    """

  private func mutations(_ text: String, seed: UInt64, _ standard: Int, _ body: ([UInt8]) throws -> Void) rethrows {
    let bytes = Array(text.utf8)
    var mutator = Mutator(seed: seed)
    for _ in 0..<fuzzRounds(standard) { try body(mutator.mutate(bytes, focus: [])) }
    for _ in 0..<fuzzRounds(standard) / 10 { try body(mutator.noise(count: 0...2000)) }
  }

  @Test func configurations() {
    mutations(Self.configuration, seed: 1, 3000) { bytes in
      var configuration = WatchConfiguration()
      let mistakes = WatchConfigurationFile.apply(String(decoding: bytes, as: UTF8.self), to: &configuration)
      if !mistakes.isEmpty { #expect(configuration == WatchConfiguration()) }
      for mistake in mistakes { #expect(!mistake.description.unicodeScalars.contains { $0.value < 0x20 }) }
    }
  }

  @Test func suppressionsFiles() {
    mutations(Self.suppressions, seed: 2, 3000) { bytes in
      var suppressions = Suppressions()
      try? suppressions.add(String(decoding: bytes, as: UTF8.self), file: "file")
    }
  }

  @Test func heapProfiles() {
    mutations(Self.heapProfile, seed: 3, 3000) { bytes in
      if let report = try? ProfileFile.report(from: bytes) { render(report) }
    }
  }

  @Test func pathsOfControlGroups() {
    mutations("/system.slice/system-a\\x2db.slice/docker-\(String(repeating: "0", count: 64)).scope", seed: 4, 3000) {
      _ = CgroupOwner(path: String(decoding: $0, as: UTF8.self))
    }
  }

  // MARK: Recordings

  private static let report: Report = {
    var report = Report(
      target: .init(kind: .process, processID: 7, command: "x", executable: "/bin/x"),
      window: .init(startInUnixSeconds: 1_700_000_000, duration: .seconds(10)),
      processes: [
        .init(processID: 7, command: "x", state: .running, totals: .init()),
        .init(processID: 8, parentProcessID: 7, command: "y", state: .exited, totals: .init()),
      ],
      loss: [.init(name: "a", description: "b", value: 3)], notes: ["note"])
    for index in UInt64(1)...3 {
      let frames = (UInt64(0)..<4).map { depth in
        Frame(
          address: 0x40_0000 + index * 0x1000 + depth, function: depth == 2 ? nil : "function\(depth)",
          functionOffset: depth,
          module: "/bin/x", moduleOffset: index * 0x1000 + depth, file: "a/b.c", line: 7, isInlined: depth == 1)
      }
      var site = AllocationSite(
        processID: 7, allocationClass: .heap, allocator: "malloc", outstanding: Tally(bytes: 300, count: 3),
        allocated: Tally(bytes: 900, count: 9), freed: Tally(bytes: 600, count: 6), outstandingBytesStandardError: 3,
        oldestAge: .seconds(5), stack: StackTrace(addresses: frames.map(\.address), completeness: .complete),
        frames: frames,
        verdicts: [.definitelyLost: Tally(bytes: 100, count: 1), .stillReachable: Tally(bytes: 200, count: 2)])
      site.allocations = [
        OutstandingAllocation(address: 0x1000, sizeInBytes: 100, age: .seconds(5), firstBytes: [1, 2])
      ]
      report.sites.append(site)
      report.totals.outstanding += site.outstanding
      report.totals.allocated += site.allocated
      report.totals.freed += site.freed
    }
    report.timeline = (0..<5).map {
      .init(elapsed: .seconds($0 * 2), outstanding: Tally(bytes: UInt64($0) * 100, count: 1), residentBytes: 1 << 20)
    }
    report.sampling = .init(meanInBytes: 512)
    return report
  }()

  /// - Parameter withBlocks: heaptrack's format, too, which can take millions of lines.
  private func render(_ report: Report, withBlocks: Bool = true) {
    for format in ReportFormats.all where withBlocks || format.name != HeaptrackReport.format.name {
      _ = format.render(report, ReportOptions())
    }
    _ = report.withoutAddresses
  }

  @Test func recordings() throws {
    let plain = try #require(Gzip.decompress(PprofReport.render(Self.report), limit: 1 << 24))
    var mutator = Mutator(seed: 5)
    var read = 0
    for _ in 0..<fuzzRounds(300) {
      let bytes = mutator.mutate(plain, focus: [])
      guard let report = try? ProfileFile.report(from: bytes) else { continue }
      read += 1
      render(report)
    }
    #expect(read > 0)
    let compressed = PprofReport.render(Self.report)
    for _ in 0..<fuzzRounds(300) { _ = try? ProfileFile.report(from: mutator.mutate(compressed, focus: [])) }
    for _ in 0..<fuzzRounds(300) { _ = try? ProfileFile.report(from: mutator.noise(count: 0...500)) }
  }

  /// Reports as they stand in recordings, with numbers that nobody counted: every format takes them.
  @Test func numbersOfReports() throws {
    let json = Array(try JSONEncoder().encode(Self.report))
    var random = SplitMix64(state: 6)
    let nasty = [
      "0", "1", "-1", "18446744073709551615", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
      "4294967295", "2147483647", "-2147483648", "1e300", "-1e300", "1e-300", "0.5", "18446744073709551614",
    ]
    // Where numbers begin and end.
    var numbers: [Range<Int>] = []
    var place = 0
    while place < json.count {
      var end = place
      while end < json.count, "0123456789.-e+".utf8.contains(json[end]) { end += 1 }
      if end > place, [UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: ",")].contains(json[max(0, place - 1)]) {
        numbers.append(place..<end)
      }
      place = max(end, place + 1)
    }
    var read = 0
    for round in 0..<fuzzRounds(1000) {
      var changed: [UInt8] = []
      var last = 0
      // Few at a time, so that most stay of their type.
      let chosen = Set(
        (0..<Int.random(in: 1...4, using: &random)).map { _ in numbers.indices.randomElement(using: &random)! })
      for index in chosen.sorted() {
        changed += json[last..<numbers[index].lowerBound] + Array(nasty.randomElement(using: &random)!.utf8)
        last = numbers[index].upperBound
      }
      changed += json[last...]
      guard let report = try? JSONDecoder().decode(Report.self, from: Data(changed)) else { continue }
      read += 1
      render(report, withBlocks: round % 200 == 0)
    }
    #expect(read > 0)
  }

  // MARK: Requests

  @Test func requests() throws {
    var settings = WatchServer.Settings()
    settings.address = ("127.0.0.1", 0)
    settings.token = "secret"
    settings.limits.requestTime = .milliseconds(100)
    settings.limits.idleTime = .milliseconds(100)
    let server = try WatchServer(settings) {}
    defer { server.stop() }
    let request = Array(
      "GET /profile?seconds=1&pid=7 HTTP/1.1\r\nHost: localhost:9777\r\nAuthorization: Bearer sekret\r\nAccept: */*\r\n\r\n"
        .utf8)
    var mutator = Mutator(seed: 7)
    for _ in 0..<fuzzRounds(300) {
      let client = try #require(RawClient(port: server.port))
      client.send(mutator.mutate(request, focus: []))
    }
    #expect(server.takeRequests().isEmpty)
    #expect(eventually { RawClient(port: server.port)?.get("/healthz").status == 200 })
  }
}
