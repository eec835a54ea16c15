import Testing
import TraceModel

@testable import AllocationTracing

/// What a process can report that jumps into the middle of the C library's functions: calls that the kernel never carried out.
@Suite struct MappingLedgerTests {
  private static let numbers: [UInt64] = [
    0, 1, 4095, 4096, 1 << 46, (1 << 47) - 4096, 1 << 47, 1 << 63, .max - 8191, .max - 4095, .max - 1, .max,
  ]

  @Test func survivesEveryCallThatCanBeReported() {
    var ledger = MappingLedger()
    for start in Self.numbers {
      for size in Self.numbers {
        ledger.map(start: start, size: size, site: 1, time: 0)
        ledger.map(start: start, size: size, site: nil, time: 0, forAllocator: true)
        for other in Self.numbers {
          ledger.remap(oldStart: start, oldSize: size, newStart: other, newSize: size, site: 2, time: 0)
          ledger.remap(oldStart: other, oldSize: other, newStart: start, newSize: size, site: nil, time: 0)
          ledger.moveBreak(from: start, to: other, site: 3, time: 0)
        }
        ledger.unmap(start: start, size: size)
      }
    }
    let mapped = ledger.ranges.reduce(0) { $0 &+ ($1.end &- $1.start) }
    #expect(mapped <= 1 << 47)
    #expect(ledger.ranges.allSatisfy { $0.start < $0.end && $0.end <= 1 << 47 })
  }

  @Test func countsNothingThatNoProcessCanHave() {
    var ledger = MappingLedger()
    ledger.map(start: 4096, size: 1 << 63, site: 1, time: 0)
    ledger.map(start: 1 << 46, size: 1 << 63, site: 1, time: 0)
    ledger.map(start: 4096, size: 8192, site: 1, time: 0)
    ledger.unmap(start: 4096, size: 0 &- 4096)
    #expect(ledger.outstanding(of: 1) == Tally(bytes: 8192, count: 1))
  }

  /// Memory that is reserved first and then used bit by bit, as language runtimes do it, is told from what stands alone.
  @Test func partsOfAReservation() {
    var ledger = MappingLedger()
    ledger.map(start: 0x10_0000, size: 0x8000, site: 1, time: 0)
    ledger.map(start: 0x20_0000, size: 0x8000, site: 2, time: 0)
    ledger.unmap(start: 0x20_0000, size: 0x1000)
    ledger.map(start: 0x10_0000, size: 0x2000, site: 3, time: 1)
    #expect(ledger.ranges.map(\.start) == [0x10_0000, 0x10_2000, 0x20_1000])
    #expect(ledger.ranges.map(\.isReserved) == [true, true, false])
  }
}
