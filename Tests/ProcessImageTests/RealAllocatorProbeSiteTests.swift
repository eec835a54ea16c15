import Testing

@testable import ProcessImage

/// Sites in the allocators of Debian 12. Exact offsets hold for one build of each library, named by its build id;
/// in another build only what must hold for every site is checked.
@Suite struct RealAllocatorProbeSiteTests {
  struct Expectation {
    var function: String
    var offset: UInt64
    /// The start of the instruction's text.
    var instruction: String
    var isEmulated = true
    var registers: [Int: ArgumentRegister] = [:]
    var skipsNull = false
    init(
      _ function: String, _ offset: UInt64, _ instruction: String, isEmulated: Bool = true,
      registers: [Int: ArgumentRegister] = [:], skipsNull: Bool = false
    ) {
      self.function = function
      self.offset = offset
      self.instruction = instruction
      self.isEmulated = isEmulated
      self.registers = registers
      self.skipsNull = skipsNull
    }
  }

  struct Library: CustomTestStringConvertible {
    var path: String
    var buildID: String
    var sites: [Expectation]
    var testDescription: String { path }
  }

  static let requirements: [String: ProbeSiteRequirement] = [
    "malloc": ProbeSiteRequirement(arguments: [0], needsReturn: true),
    "calloc": ProbeSiteRequirement(arguments: [0, 1], needsReturn: true),
    "realloc": ProbeSiteRequirement(arguments: [0, 1], needsReturn: true),
    "memalign": ProbeSiteRequirement(arguments: [1], needsReturn: true),
    "aligned_alloc": ProbeSiteRequirement(arguments: [1], needsReturn: true),
    "posix_memalign": ProbeSiteRequirement(arguments: [0, 2], needsReturn: true),
    "valloc": ProbeSiteRequirement(arguments: [0], needsReturn: true),
    "pvalloc": ProbeSiteRequirement(arguments: [0], needsReturn: true),
    "reallocarray": ProbeSiteRequirement(arguments: [0, 1, 2], needsReturn: true),
    "_Znwm": ProbeSiteRequirement(arguments: [0], needsReturn: true),
    "free": ProbeSiteRequirement(arguments: [0], needsReturn: false, ignoresNullPointer: true),
    "_ZdlPvm": ProbeSiteRequirement(arguments: [0], needsReturn: false, ignoresNullPointer: true),
  ]

  static let libraries = [
    Library(
      path: "/lib/x86_64-linux-gnu/libc.so.6", buildID: "93ac61ec5a8eb1396f9fbd350e3169a558528a40",
      sites: [
        Expectation("malloc", 0, "push r12"), Expectation("calloc", 0, "push r13"),
        Expectation("realloc", 0, "push r15"),
        Expectation("free", 9, "push rbp", skipsNull: true),
        Expectation("memalign", 7, "je"), Expectation("aligned_alloc", 7, "je"),
        Expectation("posix_memalign", 7, "push r12"), Expectation("valloc", 7, "push rbx"),
        Expectation("pvalloc", 7, "push rbx"),
        Expectation("reallocarray", 0, "mov rax, rsi", isEmulated: false),
      ]),
    Library(
      path: "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
      buildID: "1d5163c246dc9cd2b4d339f2ac42efd95c6e0ae1",
      sites: [
        Expectation("malloc", 7, "ja"), Expectation("calloc", 0, "push r15"),
        Expectation("realloc", 0, "push r15"), Expectation("free", 48, "jne"),
        Expectation("memalign", 0, "push r15"), Expectation("aligned_alloc", 0, "push r15"),
        Expectation("posix_memalign", 0, "push r15"), Expectation("valloc", 0, "push r15"),
        Expectation("_Znwm", 7, "ja"), Expectation("_ZdlPvm", 9, "call", skipsNull: true),
      ]),
    Library(
      path: "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
      buildID: "39dfd4a5855703fa6c2469749282f75b18a1aa66",
      sites: [
        Expectation("malloc", 10, "jne"), Expectation("calloc", 0, "push r13"),
        Expectation("realloc", 0, "push r15"), Expectation("free", 10, "jne"),
        Expectation("memalign", 10, "ja"), Expectation("posix_memalign", 11, "jne"),
        Expectation("valloc", 0, "push rbp"), Expectation("_Znwm", 10, "jne"),
      ]),
    Library(
      path: "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
      buildID: "d07f4e7dc9a039fcbe7747f416476bd65cb48e8b",
      sites: [
        Expectation("malloc", 21, "ja", registers: [0: .rsi]),
        Expectation("calloc", 18, "je", registers: [0: .rax]),
        Expectation("realloc", 20, "jmp", registers: [0: .rsi, 1: .rdx]),
        Expectation("free", 6, "je"), Expectation("memalign", 0, "jmp"),
        Expectation("posix_memalign", 0, "jmp"), Expectation("_Znwm", 0, "push rbp"),
      ]),
    Library(
      path: "/lib/ld-musl-x86_64.so.1", buildID: "54d00df44fce62f541ca62b56bdef5bf31ff077c",
      sites: [
        Expectation("malloc", 0, "jmp"), Expectation("calloc", 0, "push r12"),
        Expectation("realloc", 0, "jmp"), Expectation("free", 0, "jmp"),
        Expectation("aligned_alloc", 0, "push rbp"), Expectation("posix_memalign", 0, "push rbx"),
        Expectation("valloc", 8, "jmp", registers: [0: .rsi]), Expectation("reallocarray", 6, "je"),
      ]),
  ]

  @Test(arguments: libraries) func sites(of library: Library) throws {
    guard let functions = LibraryFunctions(path: library.path) else {
      print("skipped: \(library.path) is not installed")
      return
    }
    for expected in library.sites {
      guard let function = functions.functions[expected.function] else {
        #expect(functions.buildID != library.buildID, "\(expected.function) is missing")
        continue
      }
      let requirement = try #require(Self.requirements[expected.function])
      let site = function.code.withUnsafeBytes {
        selectProbeSite(code: $0, address: function.address, requirement: requirement)
      }
      if requirement.needsReturn { #expect(site.stackPointerIsAtReturnAddress) }
      guard functions.buildID == library.buildID else { continue }
      #expect(site.offset == expected.offset, "\(expected.function)")
      #expect(site.instruction.hasPrefix(expected.instruction), "\(expected.function)")
      #expect(site.isEmulated == expected.isEmulated, "\(expected.function)")
      #expect(site.argumentRegisters == expected.registers, "\(expected.function)")
      #expect(site.skipsNullPointer == expected.skipsNull, "\(expected.function)")
    }
  }

  @Test func exitsOfGlibcMalloc() throws {
    let path = "/lib/x86_64-linux-gnu/libc.so.6"
    guard let functions = LibraryFunctions(path: path), let malloc = functions.functions["malloc"],
      functions.buildID == "93ac61ec5a8eb1396f9fbd350e3169a558528a40"
    else { return }
    let exits = malloc.code.withUnsafeBytes {
      findFunctionExits(code: $0, address: malloc.address)
    }
    #expect(exits.returnOffsets.count == 3)
    #expect(exits.returnsAreAllKnown)
    for offset in exits.returnOffsets { #expect(malloc.code[Int(offset)] == 0xc3) }
  }
}
