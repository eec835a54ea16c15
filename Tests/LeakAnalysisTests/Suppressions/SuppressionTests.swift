import Testing
import TraceModel

@testable import LeakAnalysis

@Suite struct SuppressionTests {
  static func site(
    _ frames: [Frame], allocator: String = "malloc",
    verdicts: [VerdictKind: Tally] = [.definitelyLost: Tally(bytes: 96, count: 3)]
  ) -> AllocationSite {
    AllocationSite(
      processID: 7, allocationClass: .heap, allocator: allocator, outstanding: Tally(bytes: 96, count: 3),
      allocated: Tally(bytes: 96, count: 3), freed: Tally(),
      stack: StackTrace(addresses: frames.map(\.address), completeness: .complete), frames: frames, verdicts: verdicts)
  }

  static func frame(
    _ function: String?, _ linkageName: String? = nil, module: String = "/opt/app/server", file: String? = nil,
    line: Int? = nil
  ) -> Frame {
    var frame = Frame(address: 0x1000, function: function, module: module, file: file, line: line)
    frame.linkageName = linkageName
    return frame
  }

  static let cStack = [
    frame("make_node", file: "src/list.c", line: 12), frame("build"), frame(nil, module: "/usr/lib/libplugin.so"),
    frame("main"), frame("__libc_start_call_main", module: "/usr/lib/libc.so.6"),
  ]
  static let cppStack = [
    frame("operator new(unsigned long)", "_Znwm", module: "/usr/lib/libstdc++.so.6"),
    frame("shop::Store::open(int)", "_ZN4shop5Store4openEi"), frame("main"),
  ]

  private func matches(
    _ text: String, _ frames: [Frame], allocator: String = "malloc", kind: VerdictKind = .definitelyLost
  ) throws -> Bool {
    var suppressions = Suppressions()
    try suppressions.add(text, file: "t.supp")
    return suppressions.rules.contains { $0.matches(Self.site(frames, allocator: allocator), kind: kind) }
  }

  // MARK: LeakSanitizer's

  @Test(arguments: [
    ("leak:make_node", true), ("leak:^build$", true), ("leak:buil$", false), ("leak:libplugin", true),
    ("leak:list.c", true), ("leak:malloc", true), ("leak:other", false), ("# leak:main", false),
    ("  leak:main\t", true), ("\nleak:nothing\nleak:ma*n\n", true), ("leak:server", true),
  ]) func templates(text: String, expected: Bool) throws { #expect(try matches(text, Self.cStack) == expected) }

  @Test func templatesMatchPlainNames() throws {
    #expect(try matches("leak:shop::Store::open", Self.cppStack))
    #expect(try matches("leak:^shop::*(int)$", Self.cppStack))
    #expect(try !matches("leak:_ZN4shop", Self.cppStack))
  }

  // MARK: Valgrind's

  private func entry(_ lines: String..., kinds: String? = nil) -> String {
    let kinds = kinds.map { "match-leak-kinds: \($0)\n" } ?? ""
    return "{\n a name\n Memcheck:Leak\n \(kinds)" + lines.joined(separator: "\n   ") + "\n}\n"
  }

  @Test func entriesMatchFromTheLeaf() throws {
    #expect(try matches(entry("fun:malloc", "fun:make_node", "fun:build"), Self.cStack))
    #expect(
      try matches(entry("fun:malloc", "fun:make_node", "fun:build", "obj:*libplugin.so", "fun:main"), Self.cStack))
    #expect(try !matches(entry("fun:malloc", "fun:build"), Self.cStack))
    #expect(try !matches(entry("fun:build"), Self.cStack))
    #expect(try !matches(entry("fun:calloc", "fun:make_node"), Self.cStack))
    #expect(try matches(entry("fun:calloc", "fun:make_node"), Self.cStack, allocator: "calloc"))
    #expect(try matches(entry("fun:*alloc", "fun:m?ke_node"), Self.cStack))
    #expect(
      try !matches(
        entry("fun:malloc", "fun:make_node", "fun:build", "fun:*", "fun:main", "fun:*", "fun:*"), Self.cStack))
  }

  @Test func ellipses() throws {
    #expect(try matches(entry("...", "fun:main"), Self.cStack))
    #expect(try matches(entry("fun:malloc", "...", "fun:make_node"), Self.cStack))
    #expect(try matches(entry("fun:malloc", "...", "fun:build", "...", "fun:main"), Self.cStack))
    #expect(try !matches(entry("fun:malloc", "...", "fun:main", "...", "fun:build"), Self.cStack))
    #expect(try matches(entry("fun:malloc", "fun:make_node", "..."), Self.cStack))
  }

  @Test func objectsAndSources() throws {
    #expect(try matches(entry("obj:*vgpreload_memcheck*", "obj:/opt/app/*"), Self.cStack))
    #expect(try matches(entry("...", "src:list.c:12"), Self.cStack))
    #expect(try matches(entry("...", "src:*.c"), Self.cStack))
    #expect(try !matches(entry("...", "src:list.c:13"), Self.cStack))
    #expect(try matches(entry("...", "fun:???", "fun:main"), Self.cStack))
    #expect(try matches(entry("...", "fun:main", "fun:(below main)"), Self.cStack))
  }

  /// Valgrind's stack begins with `operator new`, which here is called and calls malloc.
  @Test func operatorsNew() throws {
    #expect(try matches(entry("fun:_Znwm", "fun:_ZN4shop5Store4openEi", "fun:main"), Self.cppStack))
    #expect(try matches(entry("fun:_Znw*", "fun:_ZN4shop*"), Self.cppStack))
    #expect(try matches(entry("fun:malloc", "fun:_Znwm", "fun:_ZN4shop*"), Self.cppStack))
    #expect(try matches(entry("fun:_Znwm", "fun:shop::Store::open(int)"), Self.cppStack))
    // Tail calls leave no frame.
    #expect(try matches(entry("fun:_Znam", "fun:_ZN4shop*"), Self.cppStack))
    #expect(try !matches(entry("fun:_ZnwmRKSt9nothrow_t", "fun:_ZN4shop*"), Self.cppStack))
  }

  @Test func kinds() throws {
    let text = entry("fun:malloc", kinds: "definite, possible")
    #expect(try matches(text, Self.cStack, kind: .definitelyLost))
    #expect(try matches(text, Self.cStack, kind: .possiblyLost))
    #expect(try !matches(text, Self.cStack, kind: .indirectlyLost))
    #expect(try matches(entry("fun:malloc"), Self.cStack, kind: .stillReachable))
    #expect(try matches(entry("fun:malloc", kinds: "all"), Self.cStack, kind: .indirectlyLost))
    #expect(try !matches(entry("fun:malloc", kinds: "none"), Self.cStack))
  }

  @Test func otherEntriesArePassedOver() throws {
    var suppressions = Suppressions()
    try suppressions.add(
      """
      # comment
      {
         reads of foo
         Memcheck:Param
         write(buf)
         fun:__write_nocancel
      }
      {
         a race
         Helgrind:Race
         fun:main
      }
      {
         ours
         Memcheck,Other:Leak
         # between
         fun:malloc
      }
      leak:also
      """, file: "mixed.supp")
    #expect(suppressions.rules.map(\.name) == ["ours", "also"])
  }

  @Test(arguments: [
    ("race:foo", 1, "'race:foo' is neither leak:TEMPLATE nor the { of a Valgrind entry"),
    ("\n\nleak:", 3, "leak: names nothing"),
    ("{\n n\n Memcheck:Leak\n fun:main\n", 1, "this entry has no }"),
    ("{\n}\n", 2, "an entry begins with its name"),
    ("{\n n\n Memcheck Leak\n}", 3, "'Memcheck Leak' is no TOOL:KIND, as in Memcheck:Leak"),
    ("{\n n\n Memcheck:Leak\n foo:main\n}", 4, "'foo:main' is none of fun:, obj:, src: and ..."),
    ("{\n n\n Memcheck:Leak\n fun:\n}", 4, "'fun:' names nothing"),
    ("{\n n\n Memcheck:Leak\n ...\n}", 1, "the entry 'n' names no frame"),
    (
      "{\n n\n Memcheck:Leak\n match-leak-kinds: sure\n fun:a\n}", 4,
      "'sure' is none of definite, indirect, possible, reachable, all, none"
    ),
    (
      "{\n n\n Memcheck:Leak\n fun:a\n match-leak-kinds: all\n}", 5, "match-leak-kinds: stands before the frames"
    ),
  ]) func errors(text: String, line: Int, reason: String) throws {
    var suppressions = Suppressions()
    let error = #expect(throws: SuppressionError.self) { try suppressions.add(text, file: "dir/bad.supp") }
    #expect(error?.description == "dir/bad.supp:\(line): \(reason)")
    #expect(suppressions.isEmpty)
  }

  // MARK: Use

  @Test func usesAndSums() throws {
    var first = Self.site(
      Self.cStack,
      verdicts: [.definitelyLost: Tally(bytes: 10, count: 1), .possiblyLost: Tally(bytes: 5, count: 1)])
    first.keeps = Tally(bytes: 3, count: 1)
    first.allocations = [
      OutstandingAllocation(address: 1, sizeInBytes: 10, age: .zero, verdict: BlockVerdict(kind: .definitelyLost)),
      OutstandingAllocation(address: 2, sizeInBytes: 5, age: .zero, verdict: BlockVerdict(kind: .possiblyLost)),
    ]
    var second = Self.site(
      Self.cppStack,
      verdicts: [.definitelyLost: Tally(bytes: 100, count: 2), .stillReachable: Tally(bytes: 1, count: 1)])
    second.keeps = Tally(bytes: 3, count: 1)
    let lost: Set<VerdictKind> = [.definitelyLost, .indirectlyLost, .possiblyLost]
    var suppressions = Suppressions()
    try suppressions.add(
      entry("fun:malloc", "fun:make_node", kinds: "definite") + "leak:unused\nleak:shop::\n", file: "s")
    #expect(suppressions.suppress(in: &first, kinds: lost) == [.definitelyLost: Tally(bytes: 10, count: 1)])
    #expect(first.verdicts == [.possiblyLost: Tally(bytes: 5, count: 1), .definitelyLost: Tally()])
    #expect(first.allocations.map(\.address) == [2])
    #expect(first.keeps == Tally(bytes: 3, count: 1))
    #expect(suppressions.suppress(in: &second, kinds: lost) == [.definitelyLost: Tally(bytes: 100, count: 2)])
    #expect(second.verdicts == [.definitelyLost: Tally(), .stillReachable: Tally(bytes: 1, count: 1)])
    #expect(second.keeps == Tally())
    #expect(
      suppressions.uses == [
        SuppressionUse(pattern: "a name", matched: Tally(bytes: 10, count: 1)),
        SuppressionUse(pattern: "shop::", matched: Tally(bytes: 100, count: 2)),
      ])
  }

  // MARK: Writing

  /// What is written for a site matches that site.
  @Test func written() throws {
    let c = SuppressionWriter.valgrind(Self.site(Self.cStack), kinds: [.definitelyLost])
    #expect(
      c == """
        {
           leak in make_node
           Memcheck:Leak
           match-leak-kinds: definite
           fun:malloc
           fun:make_node
           fun:build
           obj:/usr/lib/libplugin.so
           fun:main
        }

        """)
    #expect(try matches(c, Self.cStack))
    let cpp = SuppressionWriter.valgrind(Self.site(Self.cppStack), kinds: [.definitelyLost])
    #expect(
      cpp.contains(
        "   leak in shop::Store::open\n   Memcheck:Leak\n   match-leak-kinds: definite\n   fun:_Zn?m\n   fun:_ZN4shop5Store4openEi\n   fun:main\n}"
      ))
    #expect(try matches(cpp, Self.cppStack))
    #expect(SuppressionWriter.lsan(Self.site(Self.cStack)) == "leak:^make_node$\n")
    #expect(SuppressionWriter.lsan(Self.site(Self.cppStack)) == "leak:^shop::Store::open(\n")
    let local = [Self.frame("make_node(Node*)", "_ZL9make_nodeP4Node")]
    #expect(SuppressionWriter.lsan(Self.site(local)) == "leak:^make_node$\nleak:^make_node(\n")
    let template = [Self.frame("void shop::fill<int>(int*)")]
    #expect(SuppressionWriter.lsan(Self.site(template)) == "leak:void shop::fill\n")
    #expect(SuppressionWriter.lsan(Self.site([Self.frame(nil)])) == "leak:/opt/app/server\n")
    var inlined = Self.cStack
    inlined[0].isInlined = true
    let text = SuppressionWriter.valgrind(Self.site(inlined), kinds: [.definitelyLost])
    #expect(text.contains("   fun:malloc\n   ...\n   fun:build\n"))
    #expect(try matches(text, inlined))
    let aligned = SuppressionWriter.valgrind(
      Self.site(Self.cStack, allocator: "posix_memalign"), kinds: [.definitelyLost])
    #expect(aligned.contains("   ...\n   fun:make_node\n"))
    #expect(try matches(aligned, Self.cStack, allocator: "posix_memalign"))
  }

  @Test func deepStacksAreCut() throws {
    let deep = (0..<30).map { Self.frame("level\($0)") }
    let text = SuppressionWriter.valgrind(Self.site(deep), kinds: [.definitelyLost])
    #expect(text.contains("fun:level8\n}") && !text.contains("level9"))
    #expect(try matches(text, deep))
  }
}
