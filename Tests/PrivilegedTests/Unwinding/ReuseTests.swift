import Glibc
import TestTools
import Testing

extension Privileged {
  /// Code that lies where other code was: stacks go by the rules of the code that ran, and blocks keep its names.
  ///
  /// Both libraries have the same instructions at the same addresses, but frames of different sizes full of addresses of
  /// `decoy`: whoever goes by the other one's rules finds a caller that there never was.
  @Suite struct ReuseTests {
    private let directory: TemporaryDirectory
    private let program: String
    private let first: String
    private let other: String

    init() throws {
      directory = try TemporaryDirectory()
      program = try Programs.compile("code/reuse.c")
      first = directory.file("first.so")
      other = directory.file("other.so")
      try build(first, frame: 136, name: "first_code")
      try build(other, frame: 1160, name: "other_code")
    }

    private func build(_ path: String, frame: Int, name: String) throws {
      try run(
        ["gcc", "-shared", "-fPIC", "-DFRAME=\(frame)", "-DNAME=\(name)", "-o", path]
          + [Programs.sources + "code/code.c"])
    }

    /// What `functions` of a site must be up to the function that called the code.
    private static let firstChain = ["allocate", "first_code", "run_first"]
    private static let otherChain = ["allocate", "other_code", "run_other"]

    private func allocations(in report: TraceReport) -> [TraceReport.Site] {
      report.sites.filter { $0.functions.first == "allocate" }
    }

    /// - Parameter forgetsFirst: the first file was overwritten, so that nothing can name its functions any more.
    private func expectRight(
      _ report: TraceReport, forgetsFirst: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      var firstChain = Self.firstChain
      if forgetsFirst { firstChain[1] = "?" }
      let sites = allocations(in: report).sorted { $0.outstandingCount < $1.outstandingCount }
      #expect(
        sites.map { Array($0.functions.prefix(3)) } == [firstChain, Self.otherChain],
        sourceLocation: sourceLocation)
      #expect(
        sites.map(\.outstanding) == [Blocks(3 * 64, 3), Blocks(5 * 96, 5)],
        sourceLocation: sourceLocation)
      let areWhole = sites.allSatisfy { $0.stackComplete && $0.functions.contains("main") }
      #expect(areWhole, sourceLocation: sourceLocation)
      #expect(report.losses.keys.allSatisfy { Self.lateness.contains($0) }, sourceLocation: sourceLocation)
    }

    /// On a busy host the time that processes may be held runs out.
    private static let lateness = ["late_loads", "late_forks"]

    private func wasLate(_ report: TraceReport) -> Bool {
      report.losses.keys.contains { Self.lateness.contains($0) }
    }

    @Test(arguments: ["closed", "rewritten", "unmapped", "covered", "moved"])
    func libraryAtTheSameAddress(way: String) throws {
      let traced = try TracedProgram([program, first, other, way])
      let attachment = try Attachment(to: traced)
      try traced.step()
      let before = try attachment.report { allocations(in: $0).contains { $0.outstandingCount == 3 } }
      #expect(allocations(in: before).map { Array($0.functions.prefix(3)) } == [Self.firstChain])
      try traced.step()
      _ = try attachment.report { allocations(in: $0).contains { $0.outstandingCount == 5 } }
      // Names that were asked for while the file was what it was stay known.
      expectRight(try attachment.interrupt())
    }

    /// A plugin that is loaded, leaks and is unloaded in turn is one stack, wherever and from whichever copy it was loaded.
    @Test(arguments: [1, 3]) func pluginThatIsLoadedAgainAndAgain(copies: Int) throws {
      let host = try Programs.compile("code/reload.c")
      let files = (0..<copies).map { directory.file("plugin\($0).so") }
      try run(["gcc", "-shared", "-fPIC", "-g", "-O1", "-o", files[0], Programs.sources + "code/leaking_plugin.c"])
      for copy in files.dropFirst() { try run(["cp", files[0], copy]) }
      let traced = try TracedProgram([host, "60"] + files)
      let attachment = try Attachment(to: traced)
      try traced.step()
      func leaks(_ report: TraceReport) -> [TraceReport.Site] {
        report.sites.filter { $0.allocator == "malloc" && $0.outstandingBytes == 777 * $0.outstandingCount }
      }
      func count(_ sites: [TraceReport.Site]) -> UInt64 { sites.reduce(0) { $0 + $1.outstandingCount } }
      _ = try attachment.report { count(leaks($0)) >= 60 }
      let report = try attachment.interrupt()
      // Code that was gone before anybody could look at it has no name. Then nobody can tell that it is the same.
      let named = leaks(report).filter { $0.functions.starts(with: ["remember", "leak", "call", "main"]) }
      #expect(named.count == 1)
      #expect(count(leaks(report)) == 60)
      #expect(count(named) == 60 || wasLate(report))
    }

    /// Whether the names of a site are those of the code that asked for its blocks, which their size tells.
    ///
    /// Code that was gone before it could be looked at has no name, or the stack ends before it. If it was mapped by hand,
    /// its callers can be missing.
    private func isRight(_ site: TraceReport.Site) -> Bool {
      let known = Array(site.functions.prefix(3))
      let chains = [(bytes: UInt64(64), Self.firstChain), (bytes: UInt64(96), Self.otherChain)]
      // Stacks that end at the code are the same for both, as long as it has no name.
      guard let chain = chains.first(where: { site.outstanding.bytes == $0.bytes * UInt64(site.outstanding.count) })?.1
      else {
        return !site.stackComplete && (known == ["allocate"] || known == ["allocate", "?"])
      }
      return known == chain || known == [chain[0], "?", chain[2]]
        || !site.stackComplete && (known == ["allocate", "?"] || chain.starts(with: known) && known.count < 3)
    }

    /// Nobody waits for leaktrace to have a look. What is known of a stack must be right all the same.
    @Test(arguments: ["closed", "rewritten", "unmapped", "covered", "moved"])
    func libraryAtTheSameAddressAtOnce(way: String) throws {
      let report = try LeakTrace.report(of: [program, first, other, way])
      let sites = allocations(in: report)
      // Where the process has ended before anybody could look at what it mapped last, nothing has a name, and no name is
      // wrong. The blocks are counted.
      let unknown = report.sites.filter { site in
        site.functions.allSatisfy { $0 == "?" }
          && [64, 96].contains { site.outstanding.bytes == $0 * UInt64(site.outstanding.count) }
      }
      let sum = (sites + unknown).reduce(into: Blocks(0, 0)) { $0 += $1.outstanding }
      #expect(sum == Blocks(3 * 64 + 5 * 96, 8))
      for site in sites { #expect(isRight(site), "\(site.functions), \(site.outstanding)") }
      // The dynamic loader waits.
      if way == "closed" || way == "rewritten", !wasLate(report) {
        expectRight(report, forgetsFirst: way == "rewritten")
      }
    }

    /// What comes before user space has looked is completed afterwards, as far as its memory goes, and counted else.
    @Test func newCodeIsKnownSoon() throws {
      let traced = try TracedProgram([program, first, other, "many"])
      let attachment = try Attachment(to: traced)
      try traced.step()
      let report = try attachment.report { allocations(in: $0).reduce(0) { $0 + $1.outstandingCount } == 500 }
      let whole = allocations(in: report).filter(\.stackComplete)
      #expect(whole.map { Array($0.functions.prefix(3)) } == [["allocate", "first_code", "run_many"]])
      let cut = allocations(in: report).filter { !$0.stackComplete }.reduce(0) { $0 + $1.outstandingCount }
      #expect(report.losses["stacks_unknown_mapping"] ?? 0 == cut)
      // All that can wait.
      #expect(try #require(whole.first).outstandingCount >= 48)
      _ = try attachment.interrupt()
    }

    @Test func processWithTheSameID() throws {
      let running = try RunningProgram(
        [LeakTrace.program, "trace", "--format", "json", "0.1", "--", program, first, other, "process"],
        environment: ["STEPS": "1"], capturesErrors: true)
      #expect(eventually { running.readLine(timeout: patience).hasSuffix("ready") })
      running.send("go\n")
      // The second child has begun, and goes on when its probes are on.
      #expect(eventually { running.readLine(timeout: patience).hasSuffix("ready") })
      let isTraced = eventually {
        let report = try? TraceReport(json: running.readLine(timeout: patience))
        return report?.processes.count { $0.parentPid != nil } == 2
      }
      #expect(isTraced)
      running.send("go\n")
      let report = try LeakTrace.finish(running).report()
      let children = report.processes.filter { $0.parentPid != nil }
      #expect(children.count == 2 && Set(children.map(\.pid)).count == 1)
      let chains = allocations(in: report).map { Array($0.functions.prefix(3)) }
      let areHonest = chains.allSatisfy {
        $0 == Self.firstChain || $0 == Self.otherChain || $0.count < 3 && wasLate(report)
      }
      #expect(areHonest, "\(chains)")
      if !wasLate(report) { expectRight(report) }
    }

    /// Not position-independent: the code of both programs lies at the same addresses.
    @Test func programAtTheSameAddress() throws {
      func build(_ name: String, frame: Int, count: Int) throws -> String {
        let path = directory.file(name)
        try run(
          ["gcc", "-O2", "-g", "-no-pie", "-DFRAME=\(frame)", "-DNAME=\(name)", "-DCOUNT=\(count)", "-o", path]
            + [Programs.sources + "code/code.c", Programs.sources + "code/successor.c"])
        return path
      }
      let predecessor = try build("first_code", frame: 136, count: 3)
      let successor = try build("other_code", frame: 1160, count: 5)
      let report = try LeakTrace.report(of: [predecessor, successor])
      #expect(report.processes.map(\.state) == ["replaced", "exited"])
      let sites = allocations(in: report)
      #expect(sites.map { Array($0.functions.prefix(3)) } == [["allocate", "other_code", "main"]])
      #expect(sites.map(\.outstanding) == [Blocks(5 * 64, 5)])
      let areWhole = sites.allSatisfy { $0.stackComplete }
      #expect(areWhole)
      #expect(report.losses.keys.allSatisfy { Self.lateness.contains($0) })
    }
  }
}
