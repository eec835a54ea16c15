import Glibc
import ProcessImage
import Testing

@testable import AllocationTracing

/// Programs with no shared libraries, built here where a compiler and a static C library are installed.
@Suite struct StaticProgramTests {
  let directory: String

  init() {
    var template = Array("/tmp/leaktrace-static-XXXXXX".utf8CString)
    directory = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
  }

  /// Builds `source` and returns the program's path, nil when that is not possible here.
  func build(_ source: String, _ options: String) -> String? {
    guard let file = fopen(directory + "/p.c", "w") else { return nil }
    fputs(source, file)
    fclose(file)
    let command = "cd \(directory) && cc -O2 \(options) p.c -o p 2>/dev/null"
    guard system(command) == 0 else {
      print("skipped: no static C library or compiler")
      return nil
    }
    return directory + "/p"
  }

  func cleanUp() { _ = system("rm -rf \(directory)") }

  static let source = """
    #include <stdlib.h>
    void *keep;
    int main(int argc, char **argv) { (void)argv; keep = malloc(argc); return keep == 0; }
    """

  @Test func symbolTableIsRead() {
    defer { cleanUp() }
    guard let program = build(Self.source, "-static") else { return }
    let names = Set(discover([program]).probes.map(\.function.name))
    #expect(names.isSuperset(of: ["malloc", "free"]))
  }

  /// The C library's functions are known by their code, and are where the symbols of the same program say.
  @Test(arguments: ["-static", "-static-pie"]) func strippedProgramIsKnownByItsCode(_ link: String) throws {
    defer { cleanUp() }
    guard let program = build(Self.source, link + " -Wl,--build-id=none") else { return }
    let named = discover([program])
    guard system("strip -s \(program)") == 0 else { return }
    let plan = discover([program])
    #expect(plan.failure == nil)
    let names = ["malloc", "free", "calloc", "realloc", "posix_memalign"]
    for name in names {
      let place = try #require(plan.probes.first { $0.function.name == name }, "\(plan.notes)")
      #expect(place.address == named.probes.first { $0.function.name == name }?.address)
    }
    #expect(plan.notes.contains { $0.contains("has no symbols: glibc's malloc, free, calloc, realloc") })
  }

  /// A program with functions of its own gets no probe in one that is none of a known allocator.
  @Test func strippedProgramOfItsOwnIsExplained() {
    defer { cleanUp() }
    let source = """
      static char area[4096];
      static unsigned long used;
      __attribute__((noinline)) void *malloc(unsigned long size) { void *at = area + used; used += size; return at; }
      __attribute__((noinline)) void free(void *at) { __asm__ volatile("" :: "r"(at)); }
      void _start(void) { for (;;) free(malloc(1)); }
      """
    guard let program = build(source, "-static -nostdlib -fno-builtin -s") else { return }
    let plan = discover([program])
    #expect(plan.probes.isEmpty)
    #expect(plan.failure?.contains("its code is that of no allocator known") == true)
  }

  /// One byte that differs, and the library is not the one that is known: nothing is probed.
  @Test func changedCodeIsNoMatch() throws {
    defer { cleanUp() }
    guard let program = build(Self.source, "-static") else { return }
    let offset = try #require(discover([program]).probes.first { $0.function.name == "calloc" }).fileOffset
    guard system("strip -s \(program)") == 0, let file = fopen(program, "r+") else { return }
    fseek(file, Int(offset) + 8, SEEK_SET)
    fputc(0xcc, file)
    fclose(file)
    let plan = discover([program])
    #expect(plan.probes.isEmpty)
    #expect(plan.failure?.contains("statically linked and stripped") == true)
  }

  /// jemalloc under a prefix that nobody knows, in a library that does not export it.
  @Test func jemallocWithAnyPrefixIsFound() {
    defer { cleanUp() }
    let source = """
      #include <stddef.h>
      #define HIDDEN __attribute__((noinline, visibility("hidden")))
      HIDDEN void *shop_malloc(size_t n) { static char a[99]; return n < 99 ? a : 0; }
      HIDDEN void shop_free(void *p) { __asm__ volatile("" :: "r"(p)); }
      HIDDEN int shop_mallctl(const char *name) { return name == 0; }
      int use(int n) { shop_free(shop_malloc(n)); return shop_mallctl(0); }
      """
    guard let library = build(source, "-shared -fPIC") else { return }
    let plan = discover([library, library])
    #expect(plan.probes.map(\.function.name) == ["shop_malloc", "shop_free"])
    #expect(plan.notes.contains { $0.contains("jemalloc with the prefix 'shop_'") })
  }

  @Test func goProgramIsExplained() {
    defer { cleanUp() }
    let source = """
      __attribute__((section(".go.buildinfo"), used)) static char info[32] = "go";
      void _start(void) { for (;;) {} }
      """
    guard let program = build(source, "-static -nostdlib") else { return }
    #expect(discover([program]).failure?.contains("Go program") == true)
  }

  @Test func ownAllocatorInTheProgramIsFound() {
    defer { cleanUp() }
    let source = """
      #include <stddef.h>
      __attribute__((noinline)) void *je_malloc(size_t n) { static char a[99]; return n < 99 ? a : 0; }
      __attribute__((noinline)) void je_free(void *p) { __asm__ volatile("" :: "r"(p)); }
      int main(int argc, char **argv) { (void)argv; je_free(je_malloc(argc)); return 0; }
      """
    guard let program = build(source, "") else { return }
    #expect(discover([program]).probes.map(\.function.name) == ["je_malloc", "je_free"])
  }
}
