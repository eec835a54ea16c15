import CElfUtils
import ProcessImage
import TraceModel

/// An executable or library as it lies in a process, by the headers in its first page there.
package struct ModuleImage: Hashable, Sendable {
  package var path: String
  /// Addresses of its writable segments, `.bss` and what the loader has protected since (RELRO) included; whole pages.
  package var data: [Range<UInt64>]
  /// The most bytes that its thread-local variables take of a thread's static block, alignment included.
  package var threadLocalBytes: UInt64

  package init(path: String, data: [Range<UInt64>], threadLocalBytes: UInt64) {
    self.path = path
    self.data = data
    self.threadLocalBytes = threadLocalBytes
  }

  /// Reads the headers of what is mapped from the start of a file; nil when that is not ELF.
  package init?(mapping: Mapping, memory: some MemoryReader) {
    guard mapping.fileOffset == 0, mapping.isFileBacked, mapping.permissions.contains(.read) else { return nil }
    let page = memory.bytes(at: mapping.start, count: 4096)
    let copy = page.withUnsafeBytes { try? ElfFile(copying: $0, name: mapping.path) }
    // The first page of the file belongs to the lowest segment; virtual address 0 lies as far below it as it says.
    guard let headers = copy?.programHeaders,
      let first = headers.first(where: { $0.type == UInt32(PT_LOAD) }), first.fileOffset < 4096
    else { return nil }
    let bias = mapping.start &- (first.virtualAddress & ~4095)
    path = mapping.path
    data = []
    threadLocalBytes = 0
    for header in headers {
      let start = bias &+ header.virtualAddress
      let (end, overflow) = start.addingReportingOverflow(header.memorySize)
      guard !overflow, end < 1 << 47 else { continue }
      if header.type == UInt32(PT_LOAD), header.flags & UInt32(PF_W) != 0, header.memorySize > 0 {
        data.append((start & ~4095)..<((end + 4095) & ~4095))
      } else if header.type == UInt32(PT_TLS) {
        threadLocalBytes += min(header.memorySize, 1 << 30) + min(header.alignment, 4096)
      }
    }
  }
}
