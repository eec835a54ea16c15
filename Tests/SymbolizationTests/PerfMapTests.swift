import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

@Suite struct PerfMapTests {
  private func map(_ text: String) -> PerfMap { PerfMap(text: Array(text.utf8)) }

  @Test func readsOddLines() {
    let map = map(
      """
      7f0000001000 100 plain
      0x7f0000002000 0x80 LazyCompile:~add two numbers /srv/a.js:1
      0X7F0000003000  20   spaces  in  it\r
      garbage
      7f0000004000
      7f0000004000 10
      7f0000004000 10 \u{20}
      7f0000004000 0 empty
      -7f0000004000 10 negative
      7f00000040001234567 10 too long
      ffffffffffffffff 10 overflow
      0x 10 no digits

      7f0000005000 10 last without newline
      """)
    #expect(map.count == 4)
    #expect(map.lookup(0x7f00_0000_1000) == .init(name: "plain", start: 0x7f00_0000_1000))
    #expect(map.lookup(0x7f00_0000_10ff)?.name == "plain")
    #expect(map.lookup(0x7f00_0000_1100) == nil)
    #expect(map.lookup(0x7f00_0000_0fff) == nil)
    #expect(map.lookup(0x7f00_0000_2001)?.name == "LazyCompile:~add two numbers /srv/a.js:1")
    #expect(map.lookup(0x7f00_0000_3000)?.name == "spaces  in  it")
    #expect(map.lookup(0x7f00_0000_4000) == nil)
    #expect(map.lookup(0x7f00_0000_500f)?.name == "last without newline")
  }

  @Test func laterLinesReplaceEarlierOnes() {
    let map = map(
      """
      1000 100 first
      2000 100 second
      1000 100 first again
      2010 20 inside second
      1080 100 overlaps first
      """)
    #expect(map.lookup(0x1000)?.name == "first again")
    #expect(map.lookup(0x1090)?.name == "overlaps first")
    #expect(map.lookup(0x2005)?.name == "second")
    #expect(map.lookup(0x2015)?.name == "inside second")
    #expect(map.lookup(0x2050)?.name == "second")
  }

  @Test func survivesMutations() {
    var random = SystemRandomNumberGenerator()
    let good = Array("7f0000001000 100 plain\n0x7f0000002000 0x80 a b c\n".utf8)
    for _ in 0..<20_000 {
      var text = good
      for _ in 0..<4 {
        text[Int.random(in: 0..<text.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      let map = PerfMap(text: text)
      #expect(map.count <= 8)
      _ = map.lookup(0x7f00_0000_1050)
      _ = map.lookup(.max)
    }
  }

  private let program = """
    #define _GNU_SOURCE
    #include <stdio.h>
    #include <unistd.h>
    #include <sys/mman.h>
    int main(void) {
      void *anonymous = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      int file = memfd_create("jit", 0);
      char code[4096] = {0};
      fwrite(code, 1, 0, stdout);
      if (__builtin_expect(file < 0, 0)) return 1;
      if (sizeof code != (unsigned long)write(file, code, sizeof code)) return 2;
      void *shared = mmap(0, 4096, 5, MAP_SHARED, file, 0);
      printf("%lx %lx\\n", (unsigned long)anonymous, (unsigned long)shared);
      fflush(stdout);
      return getchar() == 'x';
    }

    """

  private func start(in directory: TemporaryDirectory) throws -> (RunningProgram, [UInt64]) {
    let source = try directory.write("jit.c", program)
    try run(["gcc", "-o", directory.file("jit"), source])
    let process = try RunningProgram([directory.file("jit")])
    let addresses = process.readLine().split(separator: " ").compactMap { UInt64($0, radix: 16) }
    try #require(addresses.count == 2)
    return (process, addresses)
  }

  private func frames(_ symbolizer: Symbolizer, _ process: RunningProgram, _ addresses: [UInt64])
    -> [Frame]
  {
    symbolizer.frames(
      for: StackTrace(addresses: addresses.map { $0 + 0x10 }, completeness: .complete),
      processID: process.processID, generation: 0, leafIsExact: true)
  }

  @Test func namesGeneratedCodeOfALiveProcess() throws {
    let directory = try TemporaryDirectory()
    let (process, addresses) = try start(in: directory)
    let symbolizer = Symbolizer()
    symbolizer.record(
      processID: process.processID, generation: 0,
      snapshot: AddressSpaceSnapshot(mappings: try ProcessMaps.read(processID: process.processID)))
    var found = frames(symbolizer, process, addresses)
    #expect(found.map(\.unresolved) == [.generatedCode, .generatedCode])
    #expect(found.map(\.module) == [nil, "/memfd:jit"])

    let path = "/tmp/perf-\(process.processID).map"
    defer { unlink(path) }
    let stream = try #require(fopen(path, "w"))
    fputs("\(String(addresses[0], radix: 16)) 40 first function\n", stream)
    fflush(stream)
    found = frames(symbolizer, process, addresses)
    #expect(found.map(\.function) == ["first function", nil])
    #expect(found[0].functionOffset == 0x10)
    // The compiler goes on; the next miss finds what it has added, also after the end of the process.
    fputs("0x\(String(addresses[1], radix: 16)) 40 second\n", stream)
    fclose(stream)
    kill(process.processID, SIGKILL)
    process.wait()
    found = frames(symbolizer, process, addresses)
    #expect(found.map(\.function) == ["first function", "second"])
  }

  @Test(.enabled(if: geteuid() == 0, "needs root to give a file to another user"))
  func doesNotBelieveTheFileOfAnotherUser() throws {
    let directory = try TemporaryDirectory()
    let (process, addresses) = try start(in: directory)
    let path = "/tmp/perf-\(process.processID).map"
    defer { unlink(path) }
    let stream = try #require(fopen(path, "w"))
    fputs("\(String(addresses[0], radix: 16)) 40 forged\n", stream)
    fclose(stream)
    chown(path, 65534, 65534)
    let symbolizer = Symbolizer()
    symbolizer.record(
      processID: process.processID, generation: 0,
      snapshot: AddressSpaceSnapshot(mappings: try ProcessMaps.read(processID: process.processID)))
    #expect(
      frames(symbolizer, process, addresses).map(\.unresolved) == [.generatedCode, .generatedCode])
    chown(path, 0, 0)
    #expect(frames(symbolizer, process, addresses).map(\.function) == ["forged", nil])
  }

  /// In a container the file has the inner pid and lies in another /tmp.
  @Test(.enabled(if: geteuid() == 0 && findTool("unshare") != nil, "needs root and unshare"))
  func findsTheFileInAContainer() throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("jit.c", program)
    try run(["gcc", "-o", directory.file("jit"), source])
    // The program has to be copied in before the new /tmp hides it.
    let script =
      "exec 4<\(directory.file("jit")); mount -t tmpfs none /tmp && cat <&4 >/tmp/jit && chmod +x /tmp/jit && exec 4<&- && exec /tmp/jit"
    let outer = try RunningProgram(["unshare", "--pid", "--mount", "--fork", "sh", "-c", script])
    let addresses = outer.readLine().split(separator: " ").compactMap { UInt64($0, radix: 16) }
    try #require(addresses.count == 2)
    let inner = try #require(
      ProcessInfo.allProcessIDs().first {
        (try? ProcessInfo(processID: $0).parentProcessID) == outer.processID
      })
    let info = try ProcessInfo(processID: inner)
    #expect(info.innermostProcessID == 1)
    #expect(ProcessInfo.sharesMountNamespace(inner) == false)
    try run([
      "sh", "-c",
      "echo '\(String(addresses[0], radix: 16)) 40 contained' > /proc/\(inner)/root/tmp/perf-1.map",
    ])
    let symbolizer = Symbolizer()
    symbolizer.record(
      processID: inner, generation: 0, snapshot: AddressSpaceSnapshot(mappings: try ProcessMaps.read(processID: inner)))
    let frames = symbolizer.frames(
      for: StackTrace(addresses: [addresses[0] + 1], completeness: .complete), processID: inner,
      generation: 0, leafIsExact: true)
    #expect(frames.map(\.function) == ["contained"])
    // Its program too is found there, and nowhere else.
    let code = try #require(
      ProcessMaps.read(processID: inner).first {
        $0.path == "/tmp/jit" && $0.permissions.contains(.execute)
      })
    let main = try #require(symbols(of: directory.file("jit"))["main"])
    let elf = try ElfFile(path: directory.file("jit"))
    let bias = try code.start - (#require(elf.virtualAddress(ofMappingAt: code.fileOffset)))
    let own = symbolizer.frames(
      for: StackTrace(addresses: [bias + main], completeness: .complete), processID: inner,
      generation: 0, leafIsExact: true)
    #expect(own.map(\.function) == ["main"])
    kill(inner, SIGKILL)
  }
}
