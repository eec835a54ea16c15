import ProcessControl
import ProcessImage
import TraceModel

/// Where the threads of a stopped process stand: also those that a signal has interrupted, whose place is on the stack.
struct ThreadPositions {
  var threads: [StoppedThread]
  var memory: any MemoryReader
  /// Of the process, in ascending order.
  var mappings: [Mapping]

  /// The most bytes of one stack that are looked through, from its youngest frame on, and of all together.
  private static let mostBytesOfStack = 8 << 20
  private static let mostBytes = 64 << 20

  /// Whether no thread stands, or will come back to, inside one of the ranges. False also when that cannot be known.
  func avoid(_ ranges: [Range<UInt64>]) -> Bool {
    guard let lowest = ranges.map(\.lowerBound).min(), let highest = ranges.map(\.upperBound).max() else { return true }
    let span = highest - lowest
    func isInside(_ address: UInt64) -> Bool {
      address &- lowest < span && ranges.contains { $0.contains(address) }
    }
    var left = Self.mostBytes
    for thread in threads {
      guard let registers = thread.registers else { return false }
      if isInside(registers.instructionPointer) { return false }
      var address = registers.stackPointer & ~7
      let end = min(end(ofStackAt: address), address &+ UInt64(Self.mostBytesOfStack))
      while address < end {
        let words = memory.words(at: address, count: Int(min(end - address, 1 << 14) / 8))
        if words.isEmpty { break }
        if words.contains(where: isInside) { return false }
        address += UInt64(8 * words.count)
        left -= 8 * words.count
        guard left > 0 else { return false }
      }
    }
    return true
  }

  private func end(ofStackAt address: UInt64) -> UInt64 {
    mappings.first { $0.contains(address) }?.end ?? address
  }
}
