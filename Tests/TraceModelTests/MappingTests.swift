import SystemSupport
import Testing

@testable import TraceModel

@Suite struct MappingTests {
  private func mapping(path: String, inode: UInt64) -> Mapping {
    Mapping(
      start: 0x1000, end: 0x3000, fileOffset: 0, permissions: [.read, .execute], device: 8 << 32 | 1, inode: inode,
      path: path, isDeleted: false)
  }

  @Test func theEndIsOutside() {
    let code = mapping(path: "/lib/libc.so.6", inode: 7)
    #expect(code.contains(0x1000) && code.contains(0x2fff))
    #expect(!code.contains(0xfff) && !code.contains(0x3000))
  }

  @Test func filesAndWhatOnlyLooksLikeOne() {
    #expect(mapping(path: "/lib/libc.so.6", inode: 7).isFileBacked)
    // Anonymous memory with a name, and areas of the kernel.
    #expect(!mapping(path: "/dev/zero", inode: 0).isFileBacked)
    #expect(!mapping(path: "[heap]", inode: 0).isFileBacked)
    #expect(!mapping(path: "anon_inode:[perf_event]", inode: 9).isFileBacked)
  }

  @Test func fileIdentity() {
    #expect(mapping(path: "/a", inode: 7).file == FileIdentity(device: 8 << 32 | 1, inode: 7))
    #expect(mapping(path: "/a", inode: 7).file == mapping(path: "/b", inode: 7).file)
  }
}
