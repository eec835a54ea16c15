import Glibc
import TestTools
import Testing

@testable import SystemSupport

@Suite struct FileIdentityTests {
  /// A file of the test's own; removed at once, so that it lives as long as its descriptor.
  private func makeFile() throws -> Int32 {
    var template = Array("/tmp/leaktrace-identity-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    unlink(&template)
    return descriptor
  }

  private func status(of descriptor: Int32) -> stat {
    var status = stat()
    fstat(descriptor, &status)
    return status
  }

  @Test func everyPathLeadsToTheSameFile() {
    var direct = stat()
    var roundabout = stat()
    #expect(stat("/proc/self/exe", &direct) == 0)
    #expect(stat("/proc/\(getpid())/exe", &roundabout) == 0)
    #expect(FileIdentity(direct) == FileIdentity(roundabout))
  }

  @Test func otherFilesDiffer() throws {
    let (first, second) = (try makeFile(), try makeFile())
    defer {
      close(first)
      close(second)
    }
    #expect(FileIdentity(status(of: first)) != FileIdentity(status(of: second)))
  }

  /// `stat` keeps the lower parts of the two numbers in its lower 20 bits.
  @Test func deviceNumbers() {
    var status = stat()
    status.st_dev = 0x0001_2067_89f3_459a
    status.st_ino = 7
    let (major, minor): (UInt64, UInt64) = (0x0001_2345, 0x0678_9f9a)
    #expect(FileIdentity(status) == FileIdentity(device: major << 32 | minor, inode: 7))
  }

  /// The kernel prints the same numbers for what we run.
  @Test func mappingsHaveTheSameNumber() throws {
    var status = stat()
    try #require(stat("/proc/self/exe", &status) == 0)
    let stream = try #require(fopen("/proc/self/maps", "r"))
    defer { fclose(stream) }
    var line = [CChar](repeating: 0, count: 8192)
    try #require(fgets(&line, Int32(line.count), stream) != nil)
    let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .split(separator: " ")
    let numbers = fields[3].split(separator: ":").compactMap { UInt64($0, radix: 16) }
    // Some file systems answer stat with another device than they map from; the inode tells that it is the same file.
    guard numbers.count == 2, fields[4] == "\(status.st_ino)" else { return }
    let identity = FileIdentity(status)
    #expect(identity.device == numbers[0] << 32 | numbers[1] || numbers[0] == 0)
  }

  @Test func writingMakesAnotherVersion() throws {
    let descriptor = try makeFile()
    defer { close(descriptor) }
    let before = status(of: descriptor)
    #expect(FileVersion(before, by: .modification) == FileVersion(status(of: descriptor), by: .modification))
    #expect(write(descriptor, "x", 1) == 1)
    let after = status(of: descriptor)
    #expect(FileVersion(before, by: .modification) != FileVersion(after, by: .modification))
    #expect(FileVersion(before, by: .change) != FileVersion(after, by: .change))
    #expect(FileVersion(before, by: .change).file == FileVersion(after, by: .change).file)
  }

  /// Times can be set, changes cannot.
  @Test func aSetTimeIsAChange() throws {
    let descriptor = try makeFile()
    defer { close(descriptor) }
    let before = status(of: descriptor)
    pause(milliseconds: 20)
    var times = [before.st_atim, before.st_mtim]
    #expect(futimens(descriptor, &times) == 0)
    let after = status(of: descriptor)
    #expect(FileVersion(before, by: .modification) == FileVersion(after, by: .modification))
    #expect(FileVersion(before, by: .change) != FileVersion(after, by: .change))
  }

  @Test func noFile() { #expect(FileVersion.none.file == FileIdentity(device: 0, inode: 0)) }
}
