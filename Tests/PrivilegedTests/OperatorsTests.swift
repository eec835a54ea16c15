import TestTools
import Testing

extension Privileged {
  /// Every form of operator new and delete.
  @Suite struct OperatorsTests {
    static let cases: [(name: String, outstanding: Blocks, allocated: Blocks)] = [
      ("new", Blocks(9, 2), Blocks(13, 3)),
      // Arrays of objects with a destructor have a word in front.
      ("new_array", Blocks(1000 + 248, 2), Blocks(1000 + 248 + 80, 3)),
      // The runtime throws and catches where it may not throw: an exception is a block of 128 bytes and the object.
      ("new_nothrow", Blocks(38, 2), Blocks(38 + 31 + 32 + 136, 5)),
      ("new_aligned", Blocks(384 + 768, 2), Blocks(2 * 384 + 2 * 768, 4)),
      ("new_aligned_nothrow", Blocks(384 + 1152, 2), Blocks(384 + 1152 + 512, 4)),
      ("delete_sized", Blocks(0, 0), Blocks(100 + 101 + 128 + 128 + 102 + 103, 6)),
      ("bad_alloc", Blocks(17, 1), Blocks(17 + 100 * 136, 101)),
      ("throwing_constructor", Blocks(0, 0), Blocks(72 + 132, 2)),
      ("placement", Blocks(0, 0), Blocks(0, 0)),
      ("containers", Blocks(24 + 1200, 2), Blocks(24 + 400 + 1200 + 32 + 201, 5)),
      ("demangled", Blocks(48, 1), Blocks(48, 1)),
    ]

    /// What libstdc++ keeps for exceptions when memory is exhausted, allocated by its constructor.
    static let emergencyPool = Blocks(72704, 1)

    @Test(arguments: cases.map(\.name), [false, true])
    func leavesItsRemainder(of name: String, isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      let expected = try #require(Self.cases.first { $0.name == name })
      #expect(report.outstanding(in: "case_\(name)()") == expected.outstanding)
    }

    @Test(arguments: [false, true]) func totalsAreTheSum(isAttached: Bool) throws {
      let report = isAttached ? try Runs.attached : try Runs.started
      var outstanding = isAttached ? Blocks(0, 0) : Self.emergencyPool
      var allocated = outstanding
      for expected in Self.cases {
        outstanding += expected.outstanding
        allocated += expected.allocated
      }
      #expect(report.totals.outstanding == outstanding)
      #expect(report.totals.allocated == allocated)
      #expect(report.totals.unmatchedFrees == 0)
      #expect(report.losses == [:])
    }

    @Test func namesAreDemangled() throws {
      let site = try #require(
        Runs.started.sites.first { $0.functions.contains("case_demangled()") })
      #expect(
        site.functions.prefix(4) == [
          "operator new(unsigned long)", "shapes::Factory<double>::create(int) const",
          "case_demangled()", "main",
        ])
      #expect(site.stackComplete)
    }

    /// The first allocation of all is made by a library's constructor.
    @Test func constructorOfALibraryIsTraced() throws {
      let site = try #require(Runs.started.sites.first { $0.outstanding == Self.emergencyPool })
      #expect(site.frames.first?.module?.contains("libstdc++") == true)
      #expect(site.functions.contains("call_init"))
      // Although the loader's entry point has no call-frame information.
      #expect(site.stackComplete)
    }

    enum Runs {
      static var started: TraceReport { get throws { try startedRun.get() } }
      static var attached: TraceReport { get throws { try attachedRun.get() } }

      private static let startedRun = Result {
        try LeakTrace.report(of: [Programs.compile("operators.cpp", ["-fno-builtin"])])
      }

      private static let attachedRun = Result {
        let program = try TracedProgram([Programs.compile("operators.cpp", ["-fno-builtin"])])
        let attachment = try Attachment(to: program)
        try program.step()
        return try attachment.interrupt()
      }
    }
  }
}
