import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

@Suite struct RecordedProcessTests {
  private func mapping(_ start: UInt64, _ end: UInt64, _ path: String = "", offset: UInt64 = 0)
    -> Mapping
  {
    Mapping(
      start: start, end: end, fileOffset: offset, permissions: [.read, .execute], device: 0,
      inode: 0, path: path, isDeleted: false)
  }

  @Test func subtractsMappings() {
    let whole = mapping(0x1000, 0x9000, "a", offset: 0x500)
    func rest(_ others: [Mapping]) -> [[UInt64]] {
      whole.subtracting(others).map { [$0.start, $0.end, $0.fileOffset] }
    }
    #expect(rest([]) == [[0x1000, 0x9000, 0x500]])
    #expect(rest([mapping(0x9000, 0xa000), mapping(0xb000, 0xc000)]) == [[0x1000, 0x9000, 0x500]])
    #expect(rest([mapping(0, 0x1000)]) == [[0x1000, 0x9000, 0x500]])
    #expect(rest([mapping(0x1000, 0x9000)]) == [])
    #expect(rest([mapping(0, .max)]) == [])
    #expect(rest([mapping(0, 0x2000)]) == [[0x2000, 0x9000, 0x1500]])
    #expect(
      rest([mapping(0x2000, 0x3000), mapping(0x4000, 0xa000)]) == [
        [0x1000, 0x2000, 0x500], [0x3000, 0x4000, 0x2500],
      ])
  }

  @Test func keepsOldMappingsUntilNewOnesTakeTheirPlace() {
    let process = RecordedProcess(processID: getpid())
    func paths(_ addresses: [UInt64]) -> [String?] {
      addresses.map { process.region(at: $0)?.mapping.path }
    }
    process.update([mapping(0x1000, 0x3000, "a"), mapping(0x5000, 0x6000, "b")]) { _ in .kernelArea
    }
    #expect(
      paths([0xfff, 0x1000, 0x2fff, 0x3000, 0x5fff, 0x6000]) == [nil, "a", "a", nil, "b", nil])
    // `a` has gone, `c` lies on its second half, `b` is where it was; a heap without code counts as well.
    var heap = mapping(0x1000, 0x1800, "[heap]")
    heap.permissions = [.read, .write]
    process.update([heap, mapping(0x2000, 0x4000, "c"), mapping(0x5000, 0x6000, "b")]) { _ in
      .kernelArea
    }
    #expect(
      paths([0x1000, 0x1800, 0x1fff, 0x2000, 0x3fff, 0x5000]) == [nil, "a", "a", "c", "c", "b"])
    process.update([]) { _ in .kernelArea }
    #expect(paths([0x1800, 0x2000, 0x5000]) == ["a", "c", "b"])
  }

  @Test func sharesFilesBetweenProcesses() throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("program.c", waitingProgram)
    try run(["gcc", "-o", directory.file("program"), source])
    let cache = ModuleCache(options: SymbolizerOptions())
    func module() throws -> (RunningProgram, ModuleCache.Lookup) {
      let process = try RunningProgram([directory.file("program")])
      _ = process.readLine()
      let mapping = try #require(
        ProcessMaps.read(processID: process.processID).first {
          $0.path == directory.file("program") && $0.permissions.contains(.execute)
        })
      return (process, cache.module(for: mapping, processID: process.processID))
    }
    let (first, one) = try module()
    let (second, two) = try module()
    guard case .module(let left) = one, case .module(let right) = two else {
      Issue.record("no module for \(first.processID) or \(second.processID)")
      return
    }
    #expect(left === right)
    // Another version under the same path is another file.
    try directory.write("program.c", waitingProgram + "int more;\n")
    unlink(directory.file("program"))
    try run(["gcc", "-o", directory.file("program"), source])
    let (_, three) = try module()
    guard case .module(let other) = three else { return }
    #expect(other !== left)
  }

  /// A signal handler returns into code that no call leads to.
  @Test func looksUpSignalTrampolinesExactly() throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write(
      "signal.c",
      """
      #include <signal.h>
      #include <stdio.h>
      static void *seen;
      __attribute__((noinline)) static void handler(int number) {
        (void)number;
        seen = __builtin_return_address(0);
      }
      __asm__(".globl interrupted\\\\n.type interrupted, @function\\\\ninterrupted: ud2\\\\n ret\\\\n.size interrupted, .-interrupted");
      int main(void) {
        signal(SIGUSR1, handler);
        raise(SIGUSR1);
        printf("%p\\\\n", seen);
        fflush(stdout);
        return getchar() == 'x';
      }
      void interrupted(void);

      """.replacing("\\\\n", with: "\\n"))
    let path = directory.file("signal")
    try run(["gcc", "-o", path, source])
    let process = try RunningProgram([path])
    let trampoline = try #require(UInt64(process.readLine().dropFirst(2), radix: 16))
    let mappings = try ProcessMaps.read(processID: process.processID)
    let symbolizer = Symbolizer()
    symbolizer.record(processID: process.processID, generation: 0, mappings: mappings)
    let interrupted = try #require(symbols(of: path)["interrupted"])
    let elf = try ElfFile(path: path)
    let code = try #require(mappings.first { $0.path == path && $0.permissions.contains(.execute) })
    let bias = try code.start - (#require(elf.virtualAddress(ofMappingAt: code.fileOffset)))
    let frames = symbolizer.frames(
      for: StackTrace(
        addresses: [bias + interrupted + 1, trampoline, bias + interrupted], completeness: .complete
      ),
      processID: process.processID, generation: 0, leafIsExact: false
    ).filter { !$0.isInlined }
    #expect(frames.count == 3)
    // Its name is known only to debug symbols, but the frame behind it needs none of them.
    #expect(frames[1].function == nil || frames[1].function == "__restore_rt")
    #expect(frames[2].function == "interrupted" && frames[2].functionOffset == 0)
    #expect(frames[0].function == "interrupted" && frames[0].functionOffset == 1)
  }
}
