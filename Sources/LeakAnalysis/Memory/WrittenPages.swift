import Glibc

/// Counts the pages of private file mappings that a process has written to, by `/proc/PID/pagemap`: they are its own, while the
/// others belong to the page cache.
struct WrittenPages: ~Copyable {
  /// −1 when the file cannot be opened: then no page is counted.
  private let descriptor: Int32
  /// Entries that may still be read; each is of 8 bytes.
  private var entriesLeft = 4 << 20

  private static let isPresent: UInt64 = 1 << 63
  private static let isSwapped: UInt64 = 1 << 62
  /// A page of a file, or shared.
  private static let isOfFile: UInt64 = 1 << 61

  init(processID: Int32) { descriptor = open("/proc/\(processID)/pagemap", O_RDONLY | O_CLOEXEC) }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Bytes of written pages in a range; those that are read before the limit of entries is reached.
  mutating func bytes(in range: Range<UInt64>) -> UInt64 {
    guard descriptor >= 0 else { return 0 }
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8192) { entries in
      var sum: UInt64 = 0
      var page = range.lowerBound >> 12
      let end = (range.upperBound &+ 4095) >> 12
      while page < end, entriesLeft > 0 {
        let wanted = min(UInt64(entries.count), end - page, UInt64(entriesLeft))
        let got = pread(descriptor, entries.baseAddress, Int(wanted) * 8, off_t(clamping: page &* 8)) / 8
        guard got > 0 else { break }
        for entry in entries[..<got] {
          let isOwn = entry & Self.isSwapped != 0 || entry & Self.isPresent != 0 && entry & Self.isOfFile == 0
          if isOwn { sum &+= 4096 }
        }
        page += UInt64(got)
        entriesLeft -= got
      }
      return sum
    }
  }
}
