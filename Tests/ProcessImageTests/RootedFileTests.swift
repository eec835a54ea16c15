import Glibc
import TestTools
import Testing
import TraceModel

@testable import ProcessImage

@Suite struct RootedFileTests {
  private func expectCode(_ code: Int32, _ path: String, beneath root: String) {
    do {
      _ = try RootedFile.open(path: path, beneath: root)
      Issue.record("opened \(path)")
    } catch {
      #expect(error.code == code)
    }
  }

  @Test func linksDoNotLeadOutOfTheRoot() throws {
    let directory = try TemporaryDirectory()
    try directory.write("inside", "in")
    mkdir(directory.file("etc"), 0o700)
    try directory.write("etc/passwd", "rooted")
    symlink("/etc/passwd", directory.file("absolute"))
    symlink("../../../../../../../../etc/passwd", directory.file("relative"))
    symlink("/etc/shadow", directory.file("dangling"))
    symlink("/proc/self/exe", directory.file("magic"))
    mkfifo(directory.file("fifo"), 0o600)
    for name in ["absolute", "relative", "../../etc/passwd", "/etc/passwd"] {
      let file = try RootedFile.open(path: name, beneath: directory.path)
      #expect(try String(decoding: file.readAll(), as: UTF8.self) == "rooted")
    }
    expectCode(ENOENT, "dangling", beneath: directory.path)
    expectCode(ENOENT, "magic", beneath: directory.path)
    expectCode(EINVAL, "fifo", beneath: directory.path)
    expectCode(EINVAL, "etc", beneath: directory.path)
  }

  @Test func opensTheFileOfAMapping() throws {
    let mappings = try ProcessMaps.read(processID: getpid())
    let mapping = try #require(mappings.first { $0.path.hasSuffix("/libc.so.6") })
    let file = try RootedFile.open(mapping: mapping, processID: getpid())
    #expect(RootedFile.isFile(file.descriptor, backing: mapping))
    let elf = try ElfFile(descriptor: file.descriptor, name: mapping.path)
    #expect(elf.sharedObjectName == "libc.so.6")
  }

  @Test func refusesAnotherFileUnderTheSamePath() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("library", "old")
    let mapping = Mapping(
      start: 0x1000, end: 0x2000, fileOffset: 0, permissions: [.read, .execute],
      device: 0xff << 32 | 0xff, inode: 12345, path: path, isDeleted: false)
    #expect(throws: ProcessError.self) {
      _ = try RootedFile.open(mapping: mapping, processID: getpid())
    }
  }

  @Test(.enabled(if: geteuid() == 0, "needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE"))
  func opensADeletedFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("gone", String(repeating: "x", count: 5000))
    let descriptor = Glibc.open(path, O_RDONLY)
    defer { close(descriptor) }
    let page = try #require(mmap(nil, 5000, PROT_READ, MAP_PRIVATE, descriptor, 0))
    defer { munmap(page, 5000) }
    unlink(path)
    let mappings = try ProcessMaps.read(processID: getpid())
    let mapping = try #require(mappings.first { $0.start == UInt64(UInt(bitPattern: page)) })
    #expect(mapping.isDeleted && mapping.path == path)
    let file = try RootedFile.open(mapping: mapping, processID: getpid())
    #expect(try file.readAll().count == 5000)
  }
}

@Suite struct RemoteMemoryTests {
  @Test func readsAcrossAHole() throws {
    let page = 4096
    let parts = try PartedMemory(at: 0x1100_0000_0000, before: 1, hole: 1, after: 1)
    let memory = try RemoteMemory(processID: getpid())
    let address = parts.start
    #expect(memory.bytes(at: address + 100, count: 2 * page).count == page - 100)
    #expect(memory.bytes(at: address + UInt64(page), count: 10).isEmpty)
    #expect(memory.value(at: address + 2 * UInt64(page), as: UInt32.self) == 0x0707_0707)
    #expect(memory.value(at: address + UInt64(page) - 2, as: UInt32.self) == nil)
    #expect(memory.bytes(at: .max - 3, count: 100).isEmpty)
    #expect(memory.bytes(at: 0, count: 8).isEmpty)
    withExtendedLifetime(parts) {}
  }

  @Test func readsStrings() throws {
    let memory = try RemoteMemory(processID: getpid())
    let text = strdup("a string that the other side wrote")!
    defer { free(text) }
    #expect(
      memory.string(at: UInt64(UInt(bitPattern: text))) == "a string that the other side wrote")
    #expect(memory.string(at: UInt64(UInt(bitPattern: text)), limit: 5) == nil)
  }

  @Test func readsAChild() throws {
    let child = try RunningProgram(["cat"])
    #expect(eventually { ProcessInfo.arguments(of: child.processID) == ["cat"] })
    let mappings = try ProcessMaps.read(processID: child.processID)
    let memory = try RemoteMemory(processID: child.processID)
    let program = try #require(mappings.first { $0.path.hasSuffix("/cat") })
    #expect(memory.bytes(at: program.start, count: 4) == [0x7f, 0x45, 0x4c, 0x46])
  }
}
