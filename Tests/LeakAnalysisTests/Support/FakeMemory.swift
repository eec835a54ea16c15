import ProcessImage
import Synchronization

@testable import LeakAnalysis

/// Memory of a process that does not exist: areas of bytes, nothing readable between them.
final class FakeMemory: ScannableMemory {
  private let areas: Mutex<[Area]>
  /// If given, the only stretches that hold anything.
  private let resident: [Range<UInt64>]?
  /// Bytes read so far, and how often anything was read.
  private let reads = Mutex((bytes: 0, count: 0))

  struct Area {
    let start: UInt64
    var bytes: [UInt8]
    var end: UInt64 { start + UInt64(bytes.count) }
  }

  init(_ areas: [Range<UInt64>], resident: [Range<UInt64>]? = nil) {
    self.areas = Mutex(areas.map { Area(start: $0.lowerBound, bytes: [UInt8](repeating: 0, count: $0.count)) })
    self.resident = resident
  }

  var readBytes: Int { reads.withLock { $0.bytes } }
  var readCount: Int { reads.withLock { $0.count } }

  func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    var filled = 0
    areas.withLock { areas in
      while filled < buffer.count,
        let area = areas.first(where: { $0.start <= address + UInt64(filled) && address + UInt64(filled) < $0.end })
      {
        let from = Int(address - area.start) + filled
        let count = min(buffer.count - filled, area.bytes.count - from)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + count])
          .copyBytes(from: area.bytes[from..<from + count])
        filled += count
      }
    }
    reads.withLock { $0 = ($0.bytes + filled, $0.count + 1) }
    return filled
  }

  func nextResident(in range: Range<UInt64>) -> Range<UInt64>? {
    guard let resident else { return range.isEmpty ? nil : range }
    return resident.lazy.map { $0.clamped(to: range) }.first { !$0.isEmpty }
  }

  /// Writes the bytes of a word, wherever it lies.
  func write(_ word: UInt64, at address: UInt64) {
    areas.withLock { areas in
      for offset in 0..<8 {
        let place = address + UInt64(offset)
        guard let area = areas.firstIndex(where: { $0.start <= place && place < $0.end }) else { continue }
        areas[area].bytes[Int(place - areas[area].start)] = UInt8(truncatingIfNeeded: word >> (8 * UInt64(offset)))
      }
    }
  }
}
