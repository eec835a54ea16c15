import Glibc

/// Two pieces of writable memory with nothing mapped in between, of pages of 4 KiB.
///
/// Unmapping the middle of a mapping would not do where tests run in parallel: another one's memory can come to lie in the
/// hole. These pieces lie where the kernel puts nothing by itself.
package final class PartedMemory {
  package let start: UInt64
  private let before: Int
  private let after: Int
  private let hole: Int

  /// - Parameters:
  ///   - address: of the first piece, a multiple of 4,096 that no other test names; far below what `mmap` gives out.
  ///   - before: pages of the first piece; `hole` and `after` likewise.
  package init(at address: UInt64, before: Int, hole: Int, after: Int) throws(ToolFailure) {
    (start, self.before, self.hole, self.after) = (address, before, hole, after)
    for (page, count) in [(0, before), (before + hole, after)] {
      let place = UnsafeMutableRawPointer(bitPattern: UInt(address) + UInt(page) * 4096)
      // MAP_FIXED_NOREPLACE, which Glibc's module does not have.
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | 0x100000
      guard mmap(place, count * 4096, PROT_READ | PROT_WRITE, flags, -1, 0) == place, let place else {
        throw ToolFailure(command: "mmap", status: errno, output: "there is something at \(address)")
      }
      memset(place, 7, count * 4096)
    }
  }

  deinit {
    munmap(UnsafeMutableRawPointer(bitPattern: UInt(start)), before * 4096)
    munmap(UnsafeMutableRawPointer(bitPattern: UInt(start) + UInt(before + hole) * 4096), after * 4096)
  }
}
