import Glibc
import TestTools
import Testing

extension Privileged {
  /// Allocators other than the C library that gcc links against: found without being named.
  @Suite struct AllocatorsTests {
    /// A preloaded allocator, and where its numbers differ from glibc's in heap.c.
    struct Preloaded: CustomTestStringConvertible, Sendable {
      var name: String
      var file: String
      /// pvalloc asks an inner function for whole pages.
      var roundsPvalloc = true
      /// realloc(p, 0) hands out an empty block, which the program frees.
      var reallocatesToZero = false
      /// operator new ends the program instead of throwing.
      var abortsOnExhaustion = false
      /// Calls in operators.cpp that leave the allocator's own operator new by an exception.
      var throwingCalls: UInt64 = 0

      var testDescription: String { name }
      var path: String { "/usr/lib/x86_64-linux-gnu/\(file)" }
      var isInstalled: Bool { access(path, R_OK) == 0 }
    }

    static let preloaded = [
      Preloaded(name: "jemalloc", file: "libjemalloc.so.2", roundsPvalloc: false, throwingCalls: 50),
      Preloaded(name: "tcmalloc", file: "libtcmalloc_minimal.so.4", throwingCalls: 100),
      Preloaded(
        name: "mimalloc", file: "libmimalloc.so.2.0", reallocatesToZero: true, abortsOnExhaustion: true),
    ]

    /// Static programs without symbols: the allocator is known by its code.
    @Test(arguments: ["glibc", "musl", "jemalloc", "tcmalloc"]) func strippedStaticProgram(_ name: String) throws {
      let libraries = ["jemalloc": "libjemalloc.a", "tcmalloc": "libtcmalloc_minimal.a"]
      var options = ["-static", "-s", "-fno-builtin"]
      if let library = libraries[name] {
        let path = "/usr/lib/x86_64-linux-gnu/" + library
        guard access(path, R_OK) == 0 else { return print("skipped: \(path) is not installed") }
        options += [path, "-lstdc++", "-lm"]
      }
      if name == "musl", findTool("musl-gcc") == nil { return print("skipped: musl-gcc is not installed") }
      let program = try Programs.compile("stripped.c", options, compiler: name == "musl" ? "musl-gcc" : nil)
      let report = try LeakTrace.report(of: [program])
      #expect(report.sites.filter { $0.outstanding == Blocks(100_000, 1000) }.count == 1, "\(report.notes)")
      #expect(report.notes.contains { $0.contains("has no symbols: \(name)'s malloc, free,") })
      let hits = Dictionary(report.probes.map { ($0.function, $0.hits) }, uniquingKeysWith: { $0 + $1 })
      #expect(hits["realloc"] == 1000 && hits["malloc", default: 0] >= 2000 && hits["free", default: 0] >= 1000)
      // What the C library itself holds at the end, and nothing of the program's.
      #expect(report.totals.outstandingCount < 1020)
    }

    @Test(arguments: preloaded) func preloadedAllocator(_ allocator: Preloaded) throws {
      try requireInstalled(allocator)
      let program = try TracedProgram(
        [Programs.compile("heap.c", ["-fno-builtin"])], environment: ["LD_PRELOAD": allocator.path])
      let attachment = try Attachment(to: program)
      try program.step()
      try check(try attachment.interrupt(), allocator)
    }

    /// From its first allocation: the allocator's own constructors are in it.
    @Test(arguments: preloaded) func preloadedAllocatorFromTheStart(_ allocator: Preloaded) throws {
      try requireInstalled(allocator)
      let report = try LeakTrace.report(
        of: [Programs.compile("heap.c", ["-fno-builtin"])], environment: ["LD_PRELOAD": allocator.path])
      #expect(report.losses == [:])
      var sum = Blocks(0, 0)
      for heapCase in HeapFunctionsTests.cases {
        #expect(report.outstanding(in: heapCase.function) == expected(heapCase, allocator), "\(heapCase.name)")
        sum += expected(heapCase, allocator)
      }
      for site in report.sites where !site.functions.contains("main") { sum += site.outstanding }
      #expect(report.totals.outstanding == sum)
    }

    private func check(_ report: TraceReport, _ allocator: Preloaded) throws {
      var outstanding = Blocks(0, 0)
      var allocated = Blocks(0, allocator.reallocatesToZero ? 1 : 0)
      for heapCase in HeapFunctionsTests.cases {
        #expect(report.outstanding(in: heapCase.function) == expected(heapCase, allocator), "\(heapCase.name)")
        outstanding += expected(heapCase, allocator)
        allocated += heapCase.allocated
        if heapCase.name == "pvalloc", allocator.roundsPvalloc { allocated.bytes += 8192 - 5000 }
      }
      #expect(report.totals.outstanding == outstanding)
      #expect(report.totals.allocated == allocated)
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
      #expect(report.sites.allSatisfy { $0.stackComplete })
    }

    private func expected(_ heapCase: HeapCase, _ allocator: Preloaded) -> Blocks {
      heapCase.name == "pvalloc" && allocator.roundsPvalloc ? Blocks(8192, 1) : heapCase.outstanding
    }

    /// operator new of these allocators throws by itself. The program must catch it as if it were not traced.
    @Test(arguments: preloaded.filter { !$0.abortsOnExhaustion })
    func preloadedOperatorNewThrows(_ allocator: Preloaded) throws {
      try requireInstalled(allocator)
      let program = try TracedProgram(
        [Programs.compile("operators.cpp", ["-fno-builtin"])], environment: ["LD_PRELOAD": allocator.path])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      var outstanding = Blocks(0, 0)
      var allocated = Blocks(0, 0)
      for expected in OperatorsTests.cases {
        #expect(report.outstanding(in: "case_\(expected.name)()") == expected.outstanding, "\(expected.name)")
        outstanding += expected.outstanding
        allocated += expected.allocated
      }
      // The operator that may not throw returns a null pointer without an exception inside.
      allocated.bytes -= 136
      allocated.count -= 1
      #expect(report.totals.outstanding == outstanding)
      #expect(report.totals.allocated == allocated)
      #expect(report.totals.unmatchedFrees == 0)
      // 50 calls of each operator that throws by itself, for more than a machine has.
      #expect(report.losses == ["unsafe_calls": allocator.throwingCalls])
    }

    // MARK: C libraries and ways to link

    struct Build: CustomTestStringConvertible, Sendable {
      var name: String
      var compiler = "gcc"
      var options: [String]
      /// Whether the C library has call-frame information: what it allocates itself has no callers otherwise.
      var describesItsFrames = true
      var testDescription: String { name }
    }

    static let builds = [
      Build(name: "glibc", options: []),
      Build(name: "static glibc", options: ["-static"]),
      Build(name: "static glibc, position-independent", options: ["-static-pie"]),
      Build(name: "musl", compiler: "musl-gcc", options: [], describesItsFrames: false),
      Build(name: "static musl", compiler: "musl-gcc", options: ["-static"], describesItsFrames: false),
    ]

    @Test(arguments: builds) func cLibraryAttached(_ build: Build) throws {
      let program = try TracedProgram([plain(build)])
      let attachment = try Attachment(to: program)
      try program.step()
      let report = try attachment.interrupt()
      try check(report, build)
      #expect(report.totals.outstanding == Blocks(4200, 3))
      #expect(report.totals.allocated == Blocks(4607, 7))
      #expect(report.totals.freed == Blocks(407, 4))
    }

    @Test(arguments: builds) func cLibraryFromTheStart(_ build: Build) throws {
      try check(try LeakTrace.report(of: [plain(build)]), build)
    }

    private func check(_ report: TraceReport, _ build: Build) throws {
      #expect(report.outstanding(in: "case_plain") == Blocks(4200, 3))
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses.keys.allSatisfy { !build.describesItsFrames && $0 == "stacks_no_row" })
      let own = report.sites(in: "case_plain")
      #expect(own.map(\.outstandingBytes) == [3000, 1000, 200])
      #expect(own.allSatisfy { $0.functions.prefix(2) == ["case_plain", "main"] })
      #expect(own.map { $0.allocator.replacing("__libc_", with: "") } == ["realloc", "malloc", "calloc"])
      #expect(own.allSatisfy { $0.stackComplete })
    }

    private func plain(_ build: Build) throws -> String {
      try #require(findTool(build.compiler) != nil, "\(build.compiler) is not installed")
      return try Programs.compile(
        "plain.c", ["-fno-builtin", "-Wno-alloc-size-larger-than"] + build.options, compiler: build.compiler)
    }

    // MARK: Named by the user

    @Test func customPool() throws {
      let report = try LeakTrace.report(
        of: [pools()],
        [
          "--alloc", "pool_get:size=2", "--alloc", "pool_get_many:count=2,size=3",
          "--alloc", "pool_resize:ptr=2,size=3", "--alloc", "pool_fetch:size=1,out=2",
          "--free", "pool_put:ptr=2",
        ])
      let own = report.sites(in: "case_pool")
      #expect(own.map(\.allocator) == ["pool_resize", "pool_get_many", "pool_get", "pool_fetch"])
      #expect(
        own.map(\.outstanding) == [Blocks(200, 1), Blocks(150, 1), Blocks(100, 1), Blocks(70, 1)])
      // The catalogue is used beside.
      #expect(report.outstanding(in: "case_malloc") == Blocks(17, 1))
      #expect(report.outstanding(in: "case_prefix") == Blocks(0, 0))
      #expect(report.totals.outstanding == Blocks(537, 5))
      #expect(report.totals.allocated == Blocks(641, 7))
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
    }

    @Test func prefix() throws {
      let report = try LeakTrace.report(of: [pools()], ["-S", "my_", "--no-mappings"])
      let own = report.sites(in: "case_prefix")
      #expect(own.map(\.allocator) == ["my_malloc", "my_calloc", "my_realloc"])
      #expect(own.map(\.outstanding) == [Blocks(101, 1), Blocks(60, 1), Blocks(35, 1)])
      #expect(report.totals.outstanding == Blocks(196, 3))
      #expect(report.totals.allocated == Blocks(101 + 60 + 30 + 35 + 7, 5))
      #expect(report.losses == [:])
    }

    /// jemalloc's usual prefix, on the command line as for memleak.
    @Test func oneObjectOnly() throws {
      let jemalloc = Self.preloaded[0]
      try requireInstalled(jemalloc)
      for (object, outstanding) in [("libjemalloc.so.2", Blocks(17, 1)), ("libc.so.6", Blocks(0, 0))] {
        let program = try TracedProgram([pools()], environment: ["LD_PRELOAD": jemalloc.path])
        let attachment = try Attachment(to: program, ["-O", object, "--no-mappings"])
        try program.step()
        let report = try attachment.interrupt()
        #expect(report.totals.outstanding == outstanding, "\(object)")
        #expect(report.probes.allSatisfy { $0.object.hasSuffix(object) })
        #expect(report.losses == [:])
      }
    }

    private func pools() throws -> String {
      try Programs.compile("pools.c", ["-fno-builtin", "-rdynamic"])
    }

    // MARK: Loaded later

    /// A library that brings its own allocator is loaded, allocates at once, goes, and comes again.
    @Test(arguments: [false, true]) func allocatorThatIsLoadedLater(isAttached: Bool) throws {
      let host = try Programs.compile("code/host.c", ["-fno-builtin"])
      let plugin = try Programs.compile(
        "code/plugin.c", ["-fno-builtin", "-shared", "-fPIC"], suffix: ".so")
      let report: TraceReport
      if isAttached {
        let program = try TracedProgram([host, plugin])
        let attachment = try Attachment(to: program)
        try program.step()
        try program.step()
        report = try attachment.interrupt()
      } else {
        report = try LeakTrace.report(of: [host, plugin])
      }
      let own = report.sites.filter { $0.allocator == "je_malloc" }
      let runs = own.filter { $0.functions.first == "plugin_run" }
      #expect(runs.map(\.outstanding) == [Blocks(600, 3), Blocks(300, 3)])
      #expect(runs.allSatisfy { $0.functions.prefix(3) == ["plugin_run", "use_plugin", "main"] })
      let constructed = own.filter { $0.functions.first == "plugin_constructor" }
      #expect(constructed.reduce(0) { $0 + $1.outstandingCount } == 2)
      #expect(constructed.allSatisfy { $0.functions.contains("use_plugin") })
      #expect(report.outstanding(in: "before") == Blocks(900, 1))
      #expect(report.outstanding(in: "after") == Blocks(901, 1))
      #expect(report.outstanding(class: "mapping") == Blocks(0, 0), "the plugin's arena is its allocator's")
      #expect(report.totals.unmatchedFrees == 0)
      // A loader is held for a bounded time only; on a busy host that can be too short, which is counted.
      #expect(report.losses.filter { $0.key != "late_loads" } == [:])
    }

    private func requireInstalled(_ allocator: Preloaded) throws {
      try #require(allocator.isInstalled, "\(allocator.path) is not installed")
    }
  }
}
