import Glibc

/// Zeroed pages straight from the kernel. They go back to it with the object, which malloc does not promise, and those
/// never touched cost nothing.
final class PageMemory: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// - Parameters:
  ///   - isDense: whether all of it will be used, so that huge pages save faults and translations.
  ///   - isTouched: whether to have the kernel provide it at once.
  init(byteCount: Int, isDense: Bool = false, isTouched: Bool = false) {
    self.byteCount = max(byteCount, 1)
    guard let memory = Self.map(self.byteCount) else {
      fatalError("no memory: mmap of \(byteCount) bytes: \(String(cString: strerror(errno)))")
    }
    base = memory
    if isDense { madvise(memory, self.byteCount, MADV_HUGEPAGE) }
    if isTouched { madvise(memory, self.byteCount, MADV_POPULATE_WRITE) }
  }

  /// Addresses of which the first part will be used; nil when the kernel does not give as many.
  init?(reserving byteCount: Int) {
    self.byteCount = byteCount
    guard let memory = Self.map(byteCount) else { return nil }
    base = memory
    madvise(memory, byteCount, MADV_HUGEPAGE)
  }

  private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
    return memory == MAP_FAILED ? nil : memory
  }

  deinit { munmap(base, byteCount) }

  /// Memory for `count` elements.
  convenience init<Element>(of type: Element.Type, count: Int, isDense: Bool = false, isTouched: Bool = false) {
    self.init(byteCount: count * MemoryLayout<Element>.stride, isDense: isDense, isTouched: isTouched)
  }

  func elements<Element>(of type: Element.Type) -> UnsafeMutablePointer<Element> where Element: ~Copyable {
    base.assumingMemoryBound(to: type)
  }
}
