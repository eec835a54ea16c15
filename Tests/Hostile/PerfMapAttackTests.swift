import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

/// A process's owner puts something into `/tmp/perf-PID.map` that leaktrace must not read, or not often.
@Suite struct PerfMapAttackTests {
  private static let program = """
    #include <stdio.h>
    #include <sys/mman.h>
    int main(void) {
      void *code = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      printf("%lx\\n", (unsigned long)code);
      fflush(stdout);
      return getchar() == 'x';
    }

    """

  /// A process with generated code at an address, and what its perf map is called.
  private final class Target {
    let process: RunningProgram
    let address: UInt64
    let path: String
    let symbolizer = Symbolizer()
    private let directory: TemporaryDirectory

    init() throws {
      directory = try TemporaryDirectory()
      let source = try directory.write("jit.c", PerfMapAttackTests.program)
      try run(["gcc", "-o", directory.file("jit"), source])
      process = try RunningProgram([directory.file("jit")])
      address = try #require(UInt64(process.readLine(), radix: 16))
      path = "/tmp/perf-\(process.processID).map"
      unlink(path)
      symbolizer.record(
        processID: process.processID, generation: 0,
        snapshot: AddressSpaceSnapshot(mappings: try ProcessMaps.read(processID: process.processID)))
    }

    deinit { unlink(path) }

    var line: String { "\(String(address, radix: 16)) 1000 planted\n" }

    /// What a stack with the address in it is called in a report.
    var name: String? {
      let stack = StackTrace(addresses: [address + 16], completeness: .complete)
      return symbolizer.frames(for: stack, processID: process.processID, generation: 0, leafIsExact: true)[0].function
    }

    func write(_ text: String) throws {
      let stream = try #require(fopen(path, "w"))
      fputs(text, stream)
      fclose(stream)
    }
  }

  @Test func readsAFileOfTheProcess() throws {
    let target = try Target()
    try target.write(target.line)
    #expect(target.name == "planted")
    #expect(target.symbolizer.notes.isEmpty)
  }

  /// A file that only root may read was shown in a report.
  @Test func followsNoLinkToAFileOfOurs() throws {
    let target = try Target()
    let directory = try TemporaryDirectory()
    let secret = try directory.write("secret", target.line)
    chmod(secret, 0o600)
    symlink(secret, target.path)
    #expect(target.name == nil)
  }

  /// Another name of a file of the same user, which the process itself may not reach.
  @Test func readsNoFileThatHasAnotherName() throws {
    let target = try Target()
    let secret = "/tmp/secret-of-\(target.process.processID)"
    defer { unlink(secret) }
    let stream = try #require(fopen(secret, "w"))
    fputs(target.line, stream)
    fclose(stream)
    #expect(link(secret, target.path) == 0)
    #expect(target.name == nil)
  }

  @Test(.enabled(if: geteuid() == 0, "needs root to give a file to another user"), arguments: [65534, 1] as [UInt32])
  func readsNoFileOfAnotherUser(user: UInt32) throws {
    let target = try Target()
    try target.write(target.line)
    chown(target.path, user, user)
    #expect(target.name == nil)
  }

  /// Opening a FIFO waits for a writer, and opening a device may do anything.
  @Test func opensNothingButAFile() throws {
    let target = try Target()
    mkfifo(target.path, 0o666)
    #expect(target.name == nil)
    unlink(target.path)
    mkdir(target.path, 0o777)
    #expect(target.name == nil)
    rmdir(target.path)
    symlink("/proc/kmsg", target.path)
    #expect(target.name == nil)
  }

  /// A large file that is touched between stacks is not read for each of them.
  @Test func readsALargeFileThatIsTouchedOnlyAsOftenAsItPays() throws {
    let target = try Target()
    try target.write(String(repeating: "1 1 x\n", count: PerfMap.maximumCount + 9))
    // The first look reads what it may, and every further one finds the same bytes at the end.
    _ = target.name
    let first = resources()
    for second in 0..<500 {
      var times = [timespec(tv_sec: second, tv_nsec: 0), timespec(tv_sec: second, tv_nsec: 0)]
      utimensat(AT_FDCWD, target.path, &times, 0)
      _ = target.name
    }
    // 6 GB would take half an hour of a debug build.
    #expect(resources() - first < 20)
    #expect(target.symbolizer.notes.contains { $0.contains("was not read to its end") })
  }

  /// The same with other bytes each time, which have to be read again.
  @Test func readsALargeFileThatChangesOnlyAsOftenAsItPays() throws {
    let target = try Target()
    let padding = String(repeating: "1 1 x\n", count: 1 << 18)
    for round in 0..<100 {
      try target.write(padding + "2 1 \(round)\n")
      _ = target.name
    }
    #expect(target.symbolizer.notes.contains { $0.contains("not read again") })
  }

  @Test func aSparseFileOfTerabytesIsCut() throws {
    let target = try Target()
    try target.write(target.line)
    #expect(target.name == "planted")
    #expect(truncate(target.path, 8 << 40) == 0)
    let other = StackTrace(addresses: [target.address + 0x2000], completeness: .complete)
    _ = target.symbolizer.frames(for: other, processID: target.process.processID, generation: 0, leafIsExact: true)
    #expect(target.name == "planted")
    #expect(target.symbolizer.notes.contains { $0.contains("was not read to its end") })
  }

  /// CPU seconds of this thread.
  private func resources() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }
}
