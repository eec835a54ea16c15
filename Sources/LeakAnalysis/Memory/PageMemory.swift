import Glibc
import SystemSupport

/// Zeroed pages straight from the kernel. They go back to it with the object, which malloc does not promise, and those
/// never touched cost nothing.
final class PageMemory: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// Smaller areas gain nothing from huge pages.
  private static let hugeLimit = 4 << 20

  /// - Parameter isDense: whether all of it will be used, so that huge pages save faults and translations.
  init(byteCount: Int, isDense: Bool = false) {
    self.byteCount = max(byteCount, 1)
    guard let memory = Self.map(self.byteCount) else {
      fatalError("no memory: mmap of \(byteCount) bytes: \(errorMessage(errno))")
    }
    base = memory
    if isDense && byteCount >= Self.hugeLimit { madvise(memory, self.byteCount, MADV_HUGEPAGE) }
  }

  /// Addresses of which the first part will be used; nil when the kernel does not give as many.
  ///
  /// - Parameter expected: how many bytes will be used, roughly.
  init?(reserving byteCount: Int, expected: Int) {
    self.byteCount = byteCount
    guard let memory = Self.map(byteCount) else { return nil }
    base = memory
    if expected >= Self.hugeLimit { madvise(memory, byteCount, MADV_HUGEPAGE) }
  }

  private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
    return memory == MAP_FAILED ? nil : memory
  }

  deinit { munmap(base, byteCount) }

  /// Memory for `count` elements.
  convenience init<Element>(of type: Element.Type, count: Int, isDense: Bool = false) {
    self.init(byteCount: count * MemoryLayout<Element>.stride, isDense: isDense)
  }

  /// Has the kernel provide all of several now, rather than page by page, with so many threads.
  static func touch(_ all: [PageMemory], threads: Int) {
    let stretch = 16 << 20
    let stretches = all.flatMap { memory in
      stride(from: 0, to: memory.byteCount, by: stretch).map { (memory, $0, min(stretch, memory.byteCount - $0)) }
    }
    let next = SharedCounter()
    // Small areas are there before a thread has started.
    onThreads(min(threads, stretches.count)) { _ in
      while let number = next.take(1).first, number < stretches.count {
        let (memory, start, count) = stretches[number]
        madvise(memory.base + start, count, MADV_POPULATE_WRITE)
      }
    }
  }

  func elements<Element>(of type: Element.Type) -> UnsafeMutablePointer<Element> where Element: ~Copyable {
    base.assumingMemoryBound(to: type)
  }
}
