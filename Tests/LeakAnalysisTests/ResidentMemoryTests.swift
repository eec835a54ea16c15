import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import LeakAnalysis

/// The memory of a real process: this one.
@Suite struct ResidentMemoryTests {
  /// Addresses without memory, given back with the object.
  private final class Reservation {
    let start: UInt64
    let size: Int

    init(_ size: Int, shared: Bool = false) throws {
      let flags = (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE
      let memory = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0))
      try #require(memory != MAP_FAILED)
      // One huge page would be more than was touched.
      madvise(memory, size, MADV_NOHUGEPAGE)
      start = UInt64(UInt(bitPattern: memory))
      self.size = size
    }

    deinit { munmap(UnsafeMutableRawPointer(bitPattern: UInt(start)), size) }

    func write(_ word: UInt64, at offset: UInt64) {
      UnsafeMutablePointer<UInt64>(bitPattern: UInt(start + offset))!.pointee = word
    }

    func pages(_ page: UInt64, count: UInt64 = 1) -> Range<UInt64> {
      start + page * 4096..<start + (page + count) * 4096
    }
  }

  /// - Parameter scans: whether to use what newer kernels have.
  private func memory(scans: Bool = true) throws -> ResidentMemory {
    try ResidentMemory(processID: getpid(), mappings: ProcessMaps.read(processID: getpid()), scans: scans)
  }

  private func stretches(_ memory: ResidentMemory, _ range: Range<UInt64>) -> [Range<UInt64>] {
    var found: [Range<UInt64>] = []
    var start = range.lowerBound
    while let next = memory.nextResident(in: start..<range.upperBound) {
      found.append(next)
      start = next.upperBound
    }
    return found
  }

  @Test(arguments: [true, false]) func onlyTouchedPages(scans: Bool) throws {
    let area = try Reservation(scans ? 1 << 40 : 1 << 33)
    let last: UInt64 = scans ? 200_000_000 : 2_000_000
    for page in [3, 4, 9, last] { area.write(1, at: page * 4096) }
    // Reading maps a page of zeros, which is as good as none; older kernels do not tell.
    #expect(UnsafePointer<UInt64>(bitPattern: UInt(area.start + 20 * 4096))!.pointee == 0)
    let memory = try memory(scans: scans)
    // Without the first page: tests that run meanwhile look at how each mapping of this process begins.
    let all = stretches(memory, area.start + 4096..<area.start + UInt64(area.size))
    #expect(
      all == [area.pages(3, count: 2), area.pages(9)] + (scans ? [] : [area.pages(20)]) + [area.pages(last)])
    let part = area.start + 3 * 4096 + 100..<area.start + 9 * 4096 + 50
    #expect(
      stretches(memory, part) == [
        part.lowerBound..<area.pages(4).upperBound, area.pages(9).lowerBound..<part.upperBound,
      ])
    #expect(memory.nextResident(in: area.pages(5, count: 4)) == nil)
  }

  @Test(arguments: [true, false]) func morePiecesThanOneAnswerHolds(scans: Bool) throws {
    let area = try Reservation(4096 * 4000)
    for page in stride(from: UInt64(0), to: 4000, by: 2) { area.write(page, at: page * 4096) }
    let found = stretches(try memory(scans: scans), area.pages(0, count: 4000))
    #expect(found == stride(from: UInt64(0), to: 4000, by: 2).map { area.pages($0) })
  }

  @Test func sharedMemoryIsReadAsAWhole() throws {
    let area = try Reservation(4096 * 10, shared: true)
    area.write(1, at: 4096)
    #expect(stretches(try memory(), area.pages(0, count: 10)) == [area.pages(0, count: 10)])
  }

  @Test func whatIsNotMappedIsLeftOut() throws {
    let start: UInt64 = 0x1000_0000_0000
    let area = try PartedMemory(at: start, before: 4, hole: 2, after: 4)
    let found = stretches(try memory(), start..<start + 10 * 4096)
    #expect(found == [start..<start + 4 * 4096, start + 6 * 4096..<start + 10 * 4096])
    withExtendedLifetime(area) {}
  }

  /// A block of terabytes is searched where it was touched, in no time and without memory for the rest.
  @Test func blockOfFourTerabytes() throws {
    let area = try Reservation(4 << 40)
    let small = try Reservation(1 << 16)
    let blocks =
      [LeakBlock(address: area.start, sizeInBytes: 4 << 40)]
      + (0..<3).map { LeakBlock(address: small.start + $0 * 64, sizeInBytes: 32) }
    area.write(blocks[1].address, at: 3 << 40)
    area.write(blocks[2].address + 4, at: (4 << 40) - 8)
    small.write(area.start, at: 4096)
    let scan = PointerScan(blocks: blocks)
    let root = Root(range: small.start + 4096..<small.start + 4104, kind: .globals, name: "")
    let took = ContinuousClock().measure {
      let outcome = try? scan.read(roots: [root], memory: memory())
      #expect(outcome?.isComplete == true)
      #expect(outcome?.unreadableBytes == 0)
      #expect((outcome?.scannedBytes ?? .max) <= 4 * 4096)
    }
    #expect(took < .seconds(20))
    let result = scan.classify()
    #expect(
      blocks.map { result.verdict(of: $0)?.kind } == [.stillReachable, .stillReachable, .possiblyLost, .definitelyLost])
  }
}
