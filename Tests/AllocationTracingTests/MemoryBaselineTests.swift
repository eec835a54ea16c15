import Testing
import TraceModel

@testable import AllocationTracing

@Suite struct MemoryBaselineTests {
  private func mapping(_ pages: Range<UInt64>, _ permissions: Mapping.Permissions = [.read, .write]) -> Mapping {
    Mapping(
      start: pages.lowerBound << 12, end: pages.upperBound << 12, fileOffset: 0, permissions: permissions, device: 0,
      inode: 0, path: "", isDeleted: false)
  }

  @Test func reservedMemoryIsNew() {
    let mappings = [mapping(1..<2), mapping(2..<4, [.read]), mapping(4..<9, [])]
    #expect(MemoryBaseline(ownBytes: 1, mappings: mappings, includesReserved: false).ranges == [0x1000..<0x4000])
    #expect(MemoryBaseline(ownBytes: 1, mappings: mappings, includesReserved: true).ranges == [0x1000..<0x9000])
  }

  /// What a process gives back makes room for what it takes.
  @Test func whatIsGone() {
    let baseline = MemoryBaseline(
      ownBytes: 1 << 20, mappings: [mapping(1..<11), mapping(20..<30)], includesReserved: true)
    #expect(baseline.removedBytes(mappings: [mapping(0..<40)]) == 0)
    #expect(baseline.removedBytes(mappings: [mapping(3..<5), mapping(8..<25)]) == (2 + 3 + 5) << 12)
    #expect(baseline.removedBytes(mappings: []) == 20 << 12)
    var small = baseline
    small.ownBytes = 8192
    #expect(small.removedBytes(mappings: []) == 8192)
  }
}
