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

  @Test func addressesMeanWhatTheyMeantInTheirEpoch() {
    let process = RecordedProcess(processID: getpid())
    func paths(_ addresses: [UInt64], _ epoch: UInt32) -> [String?] {
      addresses.map { process.region(at: $0, epoch: epoch)?.mapping.path }
    }
    func update(_ mappings: [Mapping], _ epoch: UInt32) {
      process.update(AddressSpaceSnapshot(mappings: mappings), epoch: epoch) { _ in KernelAreaFrames() }
    }
    update([mapping(0x1000, 0x3000, "a"), mapping(0x5000, 0x6000, "b")], 3)
    #expect(
      paths([0xfff, 0x1000, 0x2fff, 0x3000, 0x5fff, 0x6000], 3) == [nil, "a", "a", nil, "b", nil])
    // More code in the same epoch.
    update([mapping(0x1000, 0x3000, "a"), mapping(0x5000, 0x6000, "b"), mapping(0x7000, 0x8000, "d")], 3)
    #expect(paths([0x1000, 0x5000, 0x7000], 3) == ["a", "b", "d"])
    // `a` has gone, `c` lies on its second half. Epoch 4 was the walker's; nobody knows what was at 0x2000 then.
    update([mapping(0x2000, 0x4000, "c"), mapping(0x5000, 0x6000, "b")], 5)
    #expect(paths([0x1000, 0x2000, 0x3fff, 0x5000, 0x7000], 3) == ["a", "a", nil, "b", "d"])
    #expect(paths([0x1000, 0x2000, 0x3fff, 0x5000, 0x7000], 4) == [nil, nil, nil, "b", nil])
    #expect(paths([0x1000, 0x2000, 0x3fff, 0x5000, 0x7000], 5) == [nil, "c", "c", "b", nil])
    // `a` is back.
    update([mapping(0x1000, 0x3000, "a"), mapping(0x5000, 0x6000, "b")], 6)
    #expect(paths([0x1000, 0x2fff, 0x3000, 0x5000], 6) == ["a", "a", nil, "b"])
    #expect(paths([0x1000, 0x2fff, 0x3000, 0x5000], 5) == [nil, "c", "c", "b"])
    update([], 7)
    #expect(paths([0x1000, 0x5000], 7) == [nil, nil])
    #expect(paths([0x1000, 0x5000], 6) == ["a", "b"])
  }

  @Test func loadingAndUnloadingForeverIsBounded() {
    let process = RecordedProcess(processID: getpid())
    for epoch in 0..<10_000 as Range<UInt32> {
      let area = AddressSpaceSnapshot.Area(mapping: mapping(0x1000, 0x2000, "a"), identity: UInt64(epoch))
      process.update(AddressSpaceSnapshot(areas: [area]), epoch: epoch) { _ in KernelAreaFrames() }
    }
    #expect(process.former.count == 4096)
    #expect(process.region(at: 0x1000, epoch: 9000)?.area.identity == 9000)
    #expect(process.region(at: 0x1000, epoch: 9) == nil)
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
    symbolizer.record(processID: process.processID, generation: 0, snapshot: AddressSpaceSnapshot(mappings: mappings))
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
