import CElfUtils
import Glibc
import TestTools
import Testing

@testable import ProcessImage

/// What somebody else does to a file while it is read.
@Suite struct PrivateCopyTests {
  private let directory: TemporaryDirectory
  private let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("copy")
    try run(["cp", LibraryFunctions.cLibrary, path])
  }

  private func overwrite(_ byte: UInt8, count: Int) {
    let descriptor = open(path, O_WRONLY)
    _ = [UInt8](repeating: byte, count: count).withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    close(descriptor)
  }

  @Test func staysAsItWasFirstSeen() throws {
    let file = try ElfFile(path: path)
    let before = Array(file.bytes)
    overwrite(0xaa, count: file.size)
    #expect(Array(file.bytes) == before)
    let again = try #require(file.bytes.slice(at: 0, size: 4))
    #expect(Array(again) == [0x7f, 0x45, 0x4c, 0x46])
  }

  @Test func readsWhatWasNotSeenYetAsItIsNow() throws {
    let file = try ElfFile(path: path)
    let size = file.size
    let middle = size / 2
    overwrite(0xaa, count: size)
    #expect(file.bytes[middle] == 0xaa)
    file.releasePages()
    overwrite(0xbb, count: size)
    #expect(file.bytes[middle] == 0xbb && file.bytes[0] == 0xbb)
  }

  /// Also where libelf writes to what it unpacks.
  @Test func survivesTruncation() throws {
    let file = try ElfFile(path: path)
    let image = try #require(file.lendToLibelf())
    #expect(file.lendToLibelf() == nil)
    truncate(path, 0)
    let table = try #require(file.section(named: ".shstrtab"))
    image[Int(table.offset) & ~4095] = 1
    for place in file.size - 4096..<file.size { image[place] = 2 }
    file.takeBackFromLibelf()
    #expect(file.bytes[file.size / 2] == 0)
    #expect(file.bytes.count == file.size)
    #expect(file.residentBytes == 0)
  }

  /// Names are read up to a 0, which the byte behind the file is.
  @Test func endsWithAZeroEvenIfTheFileGrows() throws {
    truncate(path, 5000)
    let file = try ElfFile(path: path)
    overwrite(0xaa, count: 100_000)
    #expect(file.bytes[4999] == 0xaa)
    #expect((file.bytes.baseAddress! + file.size).load(as: UInt8.self) == 0)
  }

  @Test func takesNoMoreMemoryThanWasRead() throws {
    let file = try ElfFile(path: path)
    file.releasePages()
    _ = file.bytes[file.size / 2]
    #expect(file.residentBytes == (celf_copies_are_lazy() ? 4096 : file.size))
    // Holes take none.
    truncate(path, 1 << 40)
    let sparse = try ElfFile(path: path)
    sparse.releasePages()
    #expect(sparse.bytes[1 << 39] == 0)
    #expect(sparse.residentBytes == 0)
  }

  /// Threads that touch a page at once see the same bytes, while another thread rewrites the file all the time.
  @Test func isTheSameForAllThreads() async throws {
    for _ in 0..<20 {
      let file = try ElfFile(path: path)
      file.releasePages()
      let sums = await withTaskGroup(of: Int.self) { group in
        group.addTask {
          for byte in 0..<20 { self.overwrite(UInt8(byte), count: file.size) }
          return -1
        }
        for _ in 0..<4 { group.addTask { file.bytes.reduce(0) { $0 &* 31 &+ Int($1) } } }
        return await group.reduce(into: Set<Int>()) { $0.insert($1) }
      }
      #expect(sums.count == 2)
      try run(["cp", LibraryFunctions.cLibrary, path])
    }
  }

  @Test func opensRegularFilesOnly() throws {
    mkfifo(directory.file("fifo"), 0o600)
    for name in ["/dev/zero", directory.path, directory.file("fifo")] {
      var descriptor: Int32 = -1
      #expect(celf_open_link(name, &descriptor) == -EINVAL)
      #expect(descriptor == -1)
      #expect(throws: (any Error).self) { try ElfFile(path: name) }
    }
  }
}

extension LibraryFunctions {
  static let cLibrary =
    (try? ProcessMaps.read(processID: getpid()))?.first { $0.path.hasSuffix("/libc.so.6") }?.path ?? ""
}
