import Glibc
import TestTools
import Testing
import TraceModel

@testable import ProcessImage

@Suite struct ProcessMapsTests {
  private func parse(_ text: String) -> [Mapping] {
    Array(text.utf8).withUnsafeBytes(ProcessMaps.parse)
  }

  @Test func parsesEveryField() {
    let text = """
      55d0c0000000-55d0c0001000 r--p 00000000 fd:01 1234                       /usr/bin/cat
      55d0c0001000-55d0c0005000 r-xp 00001000 fd:01 1234                       /usr/bin/cat
      55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
      7f0000000000-7f0000002000 rw-s 00002000 00:05 77                         /dev/shm/a b
      7f0000002000-7f0000003000 ---p 00000000 00:00 0 
      ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
      """
    let mappings = parse(text)
    #expect(mappings.count == 6)
    #expect(
      mappings[1]
        == Mapping(
          start: 0x55d0_c000_1000, end: 0x55d0_c000_5000, fileOffset: 0x1000,
          permissions: [.read, .execute], device: 0xfd << 32 | 1, inode: 1234,
          path: "/usr/bin/cat", isDeleted: false))
    #expect(mappings[2].path == "[heap]" && !mappings[2].isFileBacked)
    #expect(mappings[3].path == "/dev/shm/a b")
    #expect(mappings[3].permissions == [.read, .write, .shared])
    #expect(mappings[3].fileOffset == 0x2000)
    #expect(mappings[4].path == "" && mappings[4].permissions == [])
    #expect(mappings[5].start == 0xffff_ffff_ff60_0000)
  }

  @Test(arguments: [
    ("/tmp/x (deleted)", "/tmp/x", true),
    ("/tmp/x\\012y", "/tmp/x\ny", false),
    ("/tmp/x\\012 (deleted)", "/tmp/x\n", true),
    ("/tmp/back\\slash\\01", "/tmp/back\\slash\\01", false),
    ("/tmp/trailing ", "/tmp/trailing ", false),
    ("/memfd:jit code (deleted)", "/memfd:jit code", true),
    (" (deleted)", "(deleted)", false),
  ])
  func undoesTheKernelsEscapes(printed: String, path: String, isDeleted: Bool) {
    let mappings = parse("1000-2000 r-xp 00000000 08:01 9 \(printed)\n")
    #expect(mappings.map(\.path) == [path])
    #expect(mappings.map(\.isDeleted) == [isDeleted])
  }

  @Test func leavesOutLinesOfAnotherForm() {
    let text = """
      zz-2000 r-xp 00000000 08:01 9 /a
      2000-1000 r-xp 00000000 08:01 9 /reversed
      1000-2000 r-x
      1000
      11111111111111111-2000 r-xp 00000000 08:01 9 /overflow
      1000-2000 r-xp 00000000 08:01 99999999999999999999999 /overflow

      3000-4000 r-xp 00000000 08:01 9 /good
      """
    #expect(parse(text).map(\.path) == ["/good"])
  }

  @Test func readsItsOwnProcess() throws {
    let mappings = try ProcessMaps.read(processID: getpid())
    let address = UInt64(UInt(bitPattern: dlsym(nil, "malloc")))
    let mapping = try #require(mappings.first { $0.contains(address) })
    #expect(mapping.permissions.contains(.execute))
    #expect(mapping.path.hasSuffix("/libc.so.6"))
    for (left, right) in zip(mappings, mappings.dropFirst()) { #expect(left.end <= right.start) }
  }

  @Test func saysThatAProcessIsGone() throws {
    let child = try RunningProgram(["true"])
    child.wait()
    #expect { try ProcessMaps.read(processID: child.processID) } throws: {
      ($0 as? ProcessError)?.isProcessGone == true
    }
  }

  @Test func survivesMutations() {
    let good = Array(
      """
      55d0c0000000-55d0c0001000 r-xp 00000000 fd:01 1234    /usr/bin/a\\012b (deleted)
      7f0000000000-7f0000002000 rw-s 00002000 00:05 77      /dev/shm/a b
      7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0       [vdso]

      """.utf8)
    var mutator = Mutator(seed: 1)
    for _ in 0..<fuzzRounds(20_000) {
      let mappings = mutator.mutate(good, focus: []).withUnsafeBytes(ProcessMaps.parse)
      let areSound = mappings.count < 16 && mappings.allSatisfy { $0.start < $0.end }
      #expect(areSound)
    }
  }
}
