import TestTools
import Testing

/// What one function of a program under test does to the heap.
struct HeapCase: CustomTestStringConvertible {
  var name: String
  /// What stays, and the allocator function that it came from.
  var outstanding: Blocks
  var allocator: String
  /// Frames between the allocator and the case.
  var through: [String]
  var allocated: Blocks

  init(
    _ name: String, _ bytes: UInt64, _ count: UInt64, of allocated: (UInt64, UInt64)? = nil,
    by allocator: String = "malloc", through: [String] = []
  ) {
    self.name = name
    outstanding = Blocks(bytes, count)
    self.allocated = allocated.map { Blocks($0.0, $0.1) } ?? outstanding
    self.allocator = allocator
    self.through = through
  }

  var function: String { "case_\(name)" }
  var testDescription: String { name }
}

extension Privileged {
  /// Each C function that allocates or frees: what is outstanding, and of which function.
  @Suite struct HeapFunctionsTests {
    static let cases: [HeapCase] = [
      HeapCase("malloc", 300, 3, of: (350, 4)),
      HeapCase("malloc_zero", 0, 1),
      HeapCase("malloc_large", 1 << 20, 1, of: (4 << 20, 2)),
      HeapCase("malloc_failing", 0, 0),
      HeapCase("free_null", 0, 0),
      HeapCase("calloc", 300, 1, of: (307, 2), by: "calloc"),
      HeapCase("calloc_overflow", 0, 0),
      HeapCase("realloc_null", 77, 1, by: "realloc"),
      HeapCase("realloc_grow", 260, 1, of: (360, 2), by: "realloc"),
      HeapCase("realloc_shrink", 120, 1, of: (5120, 2), by: "realloc"),
      HeapCase("realloc_moved", 400_000, 1, of: (400_100, 2), by: "realloc"),
      HeapCase("realloc_in_place", 995, 1, of: (1995, 2), by: "realloc"),
      HeapCase("realloc_mapped", 5 << 20, 1, of: (6 << 20, 2), by: "realloc"),
      HeapCase("realloc_failing", 90, 1),
      HeapCase("realloc_failing_freed", 0, 0, of: (91, 1)),
      HeapCase("realloc_zero", 0, 0, of: (64, 1)),
      HeapCase("realloc_zero_of_null", 0, 1, by: "realloc"),
      HeapCase("realloc_chain", 1 << 17, 1, of: ((1 << 18) - 1, 18), by: "realloc"),
      HeapCase("reallocarray", 220, 1, of: (297, 2), by: "realloc"),
      HeapCase("posix_memalign", 320, 1, of: (353, 2), by: "posix_memalign"),
      HeapCase("posix_memalign_failing", 0, 0),
      HeapCase("aligned_alloc", 640, 1, by: "aligned_alloc"),
      HeapCase("aligned_alloc_failing", 0, 0),
      HeapCase("memalign", 100, 1, by: "aligned_alloc"),
      HeapCase("valloc", 1000, 1, by: "valloc"),
      HeapCase("pvalloc", 5000, 1, by: "pvalloc"),
      HeapCase("aligned_freed", 0, 0, of: ((1 << 17) - 16 + 13 * 24, 26)),
      HeapCase("strdup", 13, 1, through: ["strdup"]),
      HeapCase("strndup", 5, 1, through: ["strndup"]),
      // 100 bytes to print into, then as many as it took.
      HeapCase("asprintf", 14, 1, of: (114, 2), through: ["*", "asprintf"]),
      reusedAddresses,
    ]

    /// 20,000 blocks of 16 to 55 bytes in 64 places, of which the last 4 are kept.
    static let reusedAddresses: HeapCase = {
      var sizes = [UInt64](repeating: 0, count: 64)
      var allocated: UInt64 = 0
      for index in 0..<20_000 {
        sizes[index * 7 % 64] = UInt64(16 + index % 40)
        allocated += UInt64(16 + index % 40)
      }
      return HeapCase("reused_addresses", sizes[60...].reduce(0, +), 4, of: (allocated, 20_000))
    }()

    @Test(arguments: cases) func leavesItsRemainder(of heapCase: HeapCase) throws {
      try check(heapCase, in: Runs.started)
    }

    @Test(arguments: cases) func leavesItsRemainderAttached(of heapCase: HeapCase) throws {
      try check(heapCase, in: Runs.attached)
    }

    @Test(arguments: cases) func leavesItsRemainderThroughGate(of heapCase: HeapCase) throws {
      try check(heapCase, in: Runs.startedWithGate)
    }

    @Test(arguments: cases) func leavesItsRemainderAttachedThroughGate(of heapCase: HeapCase) throws {
      try check(heapCase, in: Runs.attachedWithGate)
    }

    /// Or the tests with a gate see none.
    @Test func gatesAreThere() throws {
      for report in [try Runs.startedWithGate, try Runs.attachedWithGate] {
        for name in ["malloc", "free", "calloc", "realloc", "posix_memalign"] {
          let probe = try #require(report.probes.first { $0.function == name })
          #expect(probe.kind == "gate")
          #expect(probe.hits > 0)
        }
      }
    }

    @Test(arguments: [(false, false), (true, false), (false, true), (true, true)])
    func totalsAreTheSum(isAttached: Bool, hasGate: Bool) throws {
      let report =
        switch (isAttached, hasGate) {
        case (false, false): try Runs.started
        case (true, false): try Runs.attached
        case (false, true): try Runs.startedWithGate
        case (true, true): try Runs.attachedWithGate
        }
      var outstanding = Blocks(0, 0)
      var allocated = Blocks(0, 0)
      for heapCase in Self.cases {
        outstanding += heapCase.outstanding
        allocated += heapCase.allocated
      }
      #expect(report.totals.outstanding == outstanding)
      #expect(report.totals.allocated == allocated)
      #expect(
        report.totals.freed
          == Blocks(allocated.bytes - outstanding.bytes, allocated.count - outstanding.count))
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
      #expect(report.sites.allSatisfy { $0.class == "heap" }, "arenas are no mappings of the program's")
    }

    /// munmap is rare, and must be seen before the kernel has carried it out.
    @Test func noHeapProbeIsSingleStepped() throws {
      let stepped = try Runs.started.probes.filter { !$0.emulated }.map(\.function)
      #expect(stepped.allSatisfy { ["munmap", "pthread_create"].contains($0) })
    }

    private func check(_ heapCase: HeapCase, in report: TraceReport) throws {
      let sites = report.sites(in: heapCase.function)
      #expect(report.outstanding(in: heapCase.function) == heapCase.outstanding)
      guard heapCase.outstanding.count > 0 else { return }
      let site = try #require(sites.first)
      #expect(sites.count == (heapCase.name == "posix_memalign" ? 1 : sites.count))
      #expect(site.allocator == heapCase.allocator)
      #expect(site.stackComplete)
      let main = try #require(site.functions.firstIndex(of: heapCase.function))
      #expect(site.functions[main...].prefix(2) == [heapCase.function, "main"])
      if !heapCase.through.contains("*") {
        #expect(Array(site.functions[..<main]) == heapCase.through)
      } else {
        #expect(site.functions[..<main].last == heapCase.through.last)
      }
    }

    /// One run of each kind for all tests.
    enum Runs {
      static var started: TraceReport { get throws { try startedRun.get() } }
      static var attached: TraceReport { get throws { try attachedRun.get() } }

      static var startedWithGate: TraceReport { get throws { try startedWithGateRun.get() } }
      static var attachedWithGate: TraceReport { get throws { try attachedWithGateRun.get() } }

      private static let startedRun = Result { try started([]) }
      private static let attachedRun = Result { try attached([]) }
      private static let startedWithGateRun = Result { try started(["--gate"]) }
      private static let attachedWithGateRun = Result { try attached(["--gate"]) }

      private static func started(_ options: [String]) throws -> TraceReport {
        try LeakTrace.report(of: [Programs.compile("heap.c", ["-fno-builtin"])], options)
      }

      private static func attached(_ options: [String]) throws -> TraceReport {
        let program = try TracedProgram([Programs.compile("heap.c", ["-fno-builtin"])])
        let attachment = try Attachment(to: program, options)
        try program.step()
        return try attachment.interrupt()
      }
    }
  }
}
