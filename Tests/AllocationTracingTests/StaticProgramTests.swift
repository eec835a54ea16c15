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

  @Test func strippedProgramIsExplained() {
    defer { cleanUp() }
    guard let program = build(Self.source, "-static -s") else { return }
    let plan = discover([program])
    #expect(plan.probes.isEmpty)
    #expect(plan.failure?.contains("statically linked and stripped") == true)
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
