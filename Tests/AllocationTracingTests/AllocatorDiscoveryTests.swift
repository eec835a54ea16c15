import Glibc
import ProcessImage
import Testing

@testable import AllocationTracing

/// Plans for files of this machine as if a process had them mapped. What is not installed is skipped.
@Suite struct AllocatorDiscoveryTests {
  static let libraries = "/usr/lib/x86_64-linux-gnu/"
  static let program = "/usr/bin/ls"
  static let libc = libraries + "libc.so.6"

  func names(_ plan: AllocatorPlan, in fileName: String) -> Set<String> {
    Set(plan.probes.filter { $0.object.path.contains(fileName) }.map(\.function.name))
  }

  func probe(_ plan: AllocatorPlan, _ name: String) -> AllocatorProbe? {
    plan.probes.first { $0.function.name == name || $0.aliases.contains(name) }
  }

  @Test func glibcWithoutItsWrappers() throws {
    guard exists(Self.libc) else { return }
    let plan = discover([Self.program, Self.libc, Self.libraries + "libstdc++.so.6"])
    #expect(plan.failure == nil)
    #expect(plan.objects.count == 1)
    #expect(
      names(plan, in: "libc.so").isSuperset(of: ["malloc", "free", "calloc", "realloc"]))
    // memalign is aligned_alloc, cfree is free, reallocarray ends in realloc.
    #expect(probe(plan, "memalign")?.function.name == "aligned_alloc")
    #expect(!names(plan, in: "libc.so").contains("reallocarray"))
    #expect(names(plan, in: "libstdc++").isEmpty)
    let malloc = try #require(probe(plan, "malloc"))
    #expect(malloc.returns == .returnProbe)
    #expect(!malloc.function.traits.contains(.mayNest))
    #expect(malloc.object.identity.inode != 0)
    #expect(malloc.siteFileOffset == malloc.fileOffset + malloc.site.offset)
    let free = try #require(probe(plan, "free"))
    #expect(free.returns == .none)
    #expect(free.function.kind == .free(pointer: 0))
  }

  @Test func secondAllocatorIsProbedBesideLibc() throws {
    let path = Self.libraries + "libjemalloc.so.2"
    guard exists(path), exists(Self.libc) else { return }
    let plan = discover([Self.program, path, Self.libc])
    #expect(plan.objects.map { $0.path.contains("jemalloc") } == [true, false])
    let jemalloc = names(plan, in: "jemalloc")
    #expect(jemalloc.isSuperset(of: ["malloc", "free", "mallocx", "sdallocx", "_Znwm"]))
    // operator delete(void*) jumps to free.
    #expect(!jemalloc.contains("_ZdlPv"))
    #expect(names(plan, in: "libc.so").contains("malloc"))
    #expect(probe(plan, "_Znwm")?.function.traits.contains(.mayThrow) == true)
  }

  @Test func tcmallocAliasesAreOneProbe() throws {
    let path = Self.libraries + "libtcmalloc_minimal.so.4"
    guard exists(path) else { return }
    let plan = discover([Self.program, path])
    let free = try #require(probe(plan, "free"))
    #expect(free.aliases.contains("_ZdlPv"))
    #expect(free.aliases.contains("tc_free"))
    #expect(plan.probes.map(\.address).count == Set(plan.probes.map(\.address)).count)
    #expect(!names(plan, in: "tcmalloc").contains("posix_memalign"))
  }

  @Test func mimallocArgumentsAreFollowed() throws {
    let path = Self.libraries + "libmimalloc.so.2"
    guard exists(path) else { return }
    let plan = discover([Self.program, path])
    let inner = try #require(probe(plan, "mi_heap_realloc"))
    #expect(inner.function.arguments == [1, 2])
    // realloc and reallocarray only pass on to the functions of a heap.
    #expect(!names(plan, in: "mimalloc").contains("realloc"))
    #expect(!names(plan, in: "mimalloc").contains("reallocarray"))
  }

  @Test func muslIsItsOwnDynamicLinker() {
    let path = "/lib/ld-musl-x86_64.so.1"
    guard exists(path) else { return }
    let plan = discover([Self.program, path])
    #expect(names(plan, in: "libc.so").isSuperset(of: ["malloc", "free", "realloc"]))
    #expect(!names(plan, in: "libc.so").contains("memalign"))
    // Its aligned_alloc returns a pointer into a larger block of malloc's.
    #expect(names(plan, in: "libc.so").contains("aligned_alloc"))
  }

  @Test func dynamicLinkerIsLeftAlone() {
    let plan = discover([Self.program, "/lib64/ld-linux-x86-64.so.2"])
    #expect(plan.probes.isEmpty)
    #expect(plan.failure?.contains("--alloc") == true)
  }

  @Test func unknownObject() {
    var options = AllocatorDiscovery.Options()
    options.objectPath = "libnothing.so"
    #expect(discover([Self.program], options).failure?.contains("-O") == true)
  }

  @Test func objectFilter() {
    guard exists(Self.libc), exists(Self.libraries + "libjemalloc.so.2") else { return }
    var options = AllocatorDiscovery.Options()
    options.objectPath = "libjemalloc.so.2"
    let plan = discover([Self.program, Self.libraries + "libjemalloc.so.2", Self.libc], options)
    #expect(plan.objects.map(\.path) == [Self.libraries + "libjemalloc.so.2"])
  }

  @Test func prefixAndCustomFunctions() throws {
    let path = Self.libraries + "libmimalloc.so.2"
    guard exists(path) else { return }
    var options = AllocatorDiscovery.Options()
    options.symbolPrefix = "mi_"
    let prefixed = discover([Self.program, path], options)
    #expect(probe(prefixed, "mi_malloc") != nil)
    options.symbolPrefix = "nothing_"
    #expect(discover([Self.program, path], options).failure?.contains("-S") == true)

    options = AllocatorDiscovery.Options()
    options.usesCatalog = false
    options.customFunctions = [
      try CustomAllocatorSpec(parsingAllocate: "mi_strdup:size=1"),
      try CustomAllocatorSpec(parsingFree: "mi_cfree:ptr=1"),
      try CustomAllocatorSpec(parsingFree: "not_there:ptr=1"),
    ]
    let custom = discover([Self.program, path], options)
    #expect(custom.probes.map(\.function.name) == ["mi_strdup", "mi_cfree"])
    #expect(custom.notes == ["no object of process 4242 defines not_there"])
  }

  @Test func planningIsQuick() {
    let paths =
      [
        "libjemalloc.so.2", "libc.so.6", "libm.so.6", "libz.so.1", "libstdc++.so.6",
        "libgcc_s.so.1",
        "libcrypto.so.3", "libssl.so.3", "libsqlite3.so.0", "libexpat.so.1", "libcapstone.so.4",
      ].map { Self.libraries + $0 }
    let mapped = mappings(of: ["/usr/bin/python3.11"] + paths)
    let clock = ContinuousClock()
    var best = Duration.seconds(1)
    for _ in 0..<3 {
      let elapsed = clock.measure {
        _ =
          AllocatorDiscovery(
            processID: 1, mappings: mapped, open: { try? ElfFile(path: $0.path) }
          ).plan()
      }
      best = min(best, elapsed)
    }
    print("planned \(mapped.count) objects in \(best)")
    #expect(best < .milliseconds(500))  // 30 ms is the aim of a release build on a quiet machine
  }
}
