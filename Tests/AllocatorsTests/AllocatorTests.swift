import Testing

@testable import Allocators

@Suite struct AllocatorTests {
  @Test func namesAreUnique() {
    let names = (Allocator.all + [.other]).map(\.name)
    #expect(Set(names).count == names.count)
  }

  @Test(arguments: Allocator.all) func everyAllocatorIsRecognizedByItsLibraries(allocator: Allocator) {
    #expect(!allocator.libraries.isEmpty)
    for library in allocator.libraries {
      #expect(Allocator(objectPath: "/usr/lib/\(library).so.1") == allocator)
      #expect(Allocator.inUse(mappedPaths: ["/usr/lib/\(library).so.1"]) == allocator)
    }
  }

  @Test func oneThatReplacesTheCLibrarysGoesBeforeIt() {
    #expect(Allocator.inUse(mappedPaths: ["/lib/libc.so.6", "/lib/libmimalloc.so.2"]) == .mimalloc)
    #expect(Allocator.inUse(mappedPaths: ["/lib/libmimalloc.so.2", "/lib/libjemalloc.so.2"]) == .jemalloc)
    #expect(Allocator.inUse(mappedPaths: ["/lib/libc.so.6"]) == .glibc)
    #expect(Allocator.inUse(mappedPaths: ["/bin/static"]) == nil)
    #expect(Allocator(objectPath: "/bin/static") == .other)
  }

  /// Whoever adds an allocator that replaces the C library's says how it gives memory back.
  @Test(arguments: Allocator.all.filter(\.replacesCLibrary)) func replacementsHaveAdvice(allocator: Allocator) {
    #expect(allocator.advice != nil && !allocator.functions.isEmpty)
  }

  @Test func theCatalogueHasEveryAllocatorsFunctions() {
    let names = Set(AllocatorCatalog.functions.map(\.name))
    for allocator in Allocator.all { #expect(allocator.functions.allSatisfy { names.contains($0.name) }) }
    #expect(["malloc", "__libc_malloc", "mallocx", "tc_new", "mi_heap_malloc", "_Znwm"].allSatisfy(names.contains))
    // What `-S` asks for.
    let prefixed = Set(AllocatorCatalog.functions(withPrefix: "my_").map(\.name))
    #expect(["my_malloc", "my_mallocx", "my_zalloc"].allSatisfy(prefixed.contains))
  }
}
