import Glibc
import ProcessImage
import Synchronization
import TraceModel

/// The memory of a process, private pages that it never touched left out. For one scan: what is resident is asked once.
package final class ResidentMemory: ScannableMemory {
  private let memory: RemoteMemory
  /// Ascending.
  private let mappings: [Mapping]
  private let pages: Mutex<PageMap>

  /// Shared memory can have content that this process has not mapped yet: it is read as a whole, up to this size.
  private static let sharedLimit: UInt64 = 1 << 30

  /// - Parameter mappings: the process's mappings as they are while it is read, ascending.
  package convenience init(processID: Int32, mappings: [Mapping]) throws(ProcessError) {
    try self.init(processID: processID, mappings: mappings, scans: true)
  }

  /// - Parameter scans: whether to try PAGEMAP_SCAN.
  init(processID: Int32, mappings: [Mapping], scans: Bool) throws(ProcessError) {
    memory = try RemoteMemory(processID: processID)
    self.mappings = mappings
    pages = Mutex(PageMap(processID: processID, scans: scans))
  }

  package func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    memory.read(at: address, into: buffer)
  }

  package func nextResident(in range: Range<UInt64>) -> Range<UInt64>? {
    var number = mappings.withUnsafeBufferPointer { mappings in
      firstPosition(in: mappings) { $0.end > range.lowerBound }
    }
    while number < mappings.count, mappings[number].start < range.upperBound {
      let mapping = mappings[number]
      let part = max(mapping.start, range.lowerBound)..<min(mapping.end, range.upperBound)
      if mapping.permissions.contains(.shared), mapping.end - mapping.start <= Self.sharedLimit { return part }
      if let found = pages.withLock({ $0.nextResident(in: part, mappingEnd: mapping.end) }) { return found }
      number += 1
    }
    return nil
  }
}

/// `/proc/PID/pagemap`: which pages have content.
private struct PageMap: ~Copyable {
  /// −1 when it cannot be opened: then every page may have content.
  private let descriptor: Int32
  /// Whether the kernel knows PAGEMAP_SCAN (Linux 6.7).
  private var scans: Bool
  /// The range that was asked about last, and the stretches of it that have content.
  private var covered: Range<UInt64> = 0..<0
  private var stretches: [Range<UInt64>] = []

  private static let mostQuestions = 2048

  init(processID: Int32, scans: Bool) {
    self.scans = scans
    descriptor = open("/proc/\(processID)/pagemap", O_RDONLY | O_CLOEXEC)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The first stretch with content in a part of a mapping.
  mutating func nextResident(in range: Range<UInt64>, mappingEnd: UInt64) -> Range<UInt64>? {
    if descriptor < 0 { return range }
    var address = range.lowerBound
    var questions = 0
    while address < range.upperBound {
      // Older kernels are asked about 32 MiB at a time, so that the caller can look at its deadline even among
      // terabytes.
      questions += 1
      if questions > Self.mostQuestions { return (address..<address + 1).clamped(to: range) }
      if !covered.contains(address) {
        // Asks about the rest of the mapping, because the next question will be about what follows.
        guard ask(from: address & ~4095, to: mappingEnd) else { return address..<range.upperBound }
      }
      let next = stretches.withUnsafeBufferPointer { stretches in
        firstPosition(in: stretches) { $0.upperBound > address }
      }
      if next < stretches.count {
        let found = stretches[next].clamped(to: address..<range.upperBound)
        if !found.isEmpty { return found }
      }
      address = covered.upperBound
    }
    return nil
  }

  /// Asks the kernel about a range, or the first part of it; false when it does not tell.
  private mutating func ask(from start: UInt64, to end: UInt64) -> Bool {
    stretches.removeAll(keepingCapacity: true)
    if scans {
      if scan(from: start, to: end) { return true }
      scans = false
    }
    return readEntries(from: start, to: end)
  }

  /// The argument of PAGEMAP_SCAN and what it fills; the kernel's `struct pm_scan_arg` and `struct page_region`.
  private struct ScanArgument {
    var size = UInt64(MemoryLayout<ScanArgument>.size)
    var flags: UInt64 = 0
    var start: UInt64
    var end: UInt64
    var walkEnd: UInt64 = 0
    var regions: UInt64
    var regionCount: UInt64
    var maxPages: UInt64 = 0
    var inverted = ScanArgument.isZeroPage
    var allOf = ScanArgument.isZeroPage
    var anyOf = ScanArgument.isPresent | ScanArgument.isSwapped
    var wanted = ScanArgument.isPresent

    static let isPresent: UInt64 = 1 << 3
    static let isSwapped: UInt64 = 1 << 4
    static let isZeroPage: UInt64 = 1 << 5
    /// `_IOWR('f', 16, struct pm_scan_arg)`
    static let request: UInt = 3 << 30 | 96 << 16 | 0x66 << 8 | 16
  }

  private struct PageRegion {
    var start: UInt64
    var end: UInt64
    var categories: UInt64
  }

  private mutating func scan(from start: UInt64, to end: UInt64) -> Bool {
    withUnsafeTemporaryAllocation(of: PageRegion.self, capacity: 512) { regions in
      var argument = ScanArgument(
        start: start, end: end, regions: UInt64(UInt(bitPattern: regions.baseAddress)),
        regionCount: UInt64(regions.count))
      let filled = ioctl(descriptor, ScanArgument.request, &argument)
      guard filled >= 0, argument.walkEnd > start else { return false }
      for region in regions[..<Int(filled)] {
        if let last = stretches.last, last.upperBound == region.start {
          stretches[stretches.count - 1] = last.lowerBound..<region.end
        } else {
          stretches.append(region.start..<region.end)
        }
      }
      covered = start..<argument.walkEnd
      return true
    }
  }

  /// For older kernels: an entry of 64 bits per page.
  private mutating func readEntries(from start: UInt64, to end: UInt64) -> Bool {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8192) { entries in
      let pages = min(entries.count, Int((end - start + 4095) / 4096))
      let bytes = pread(descriptor, entries.baseAddress, pages * 8, off_t(start / 4096 * 8))
      guard bytes >= 8 else { return false }
      let known = bytes / 8
      for (page, entry) in entries[..<known].enumerated() where entry >> 62 != 0 {
        let address = start + UInt64(page) * 4096
        if let last = stretches.last, last.upperBound == address {
          stretches[stretches.count - 1] = last.lowerBound..<address + 4096
        } else {
          stretches.append(address..<address + 4096)
        }
      }
      covered = start..<start + UInt64(known) * 4096
      return true
    }
  }
}
