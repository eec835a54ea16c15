import CLibBPF
import Glibc

/// An mmap-able array of 4 KiB pages, made to be put into an array of maps whose members differ in size.
package final class PageArray {
  /// Bytes of one element.
  package static let pageSize = 4096

  /// The pages, shared with the programs that read them.
  package let bytes: UnsafeMutableRawBufferPointer
  fileprivate let descriptor: Int32

  /// Creates an array of zero-filled pages. The kernel's memory is given back when this value and every array of maps
  /// that it was put into have let go of it.
  package init(name: String, pageCount: Int) throws(BPFError) {
    var options = bpf_map_create_opts()
    options.sz = MemoryLayout<bpf_map_create_opts>.size
    options.map_flags = UInt32(BPF_F_MMAPABLE | BPF_F_INNER_MAP)
    let descriptor = bpf_map_create(
      BPF_MAP_TYPE_ARRAY, name, 4, UInt32(Self.pageSize), UInt32(pageCount), &options)
    guard descriptor >= 0 else {
      throw BPFError(operation: "create map \(name)", code: -descriptor)
    }
    let size = pageCount * Self.pageSize
    let memory = mmap(nil, size, Int32(PROT_READ | PROT_WRITE), MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else {
      let code = errno
      close(descriptor)
      throw BPFError(operation: "map \(name) into memory", code: code)
    }
    self.descriptor = descriptor
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: size)
  }

  deinit {
    munmap(bytes.baseAddress!, bytes.count)
    close(descriptor)
  }
}

extension BPFMap {
  /// Puts an array into an array of maps. Returns after the programs that saw what was there before have ended.
  package func set(_ array: PageArray, at index: UInt32) throws(BPFError) {
    try set(UInt32(bitPattern: array.descriptor), for: index)
  }
}

/// Waits until every non-sleepable BPF program that runs now has ended: what they could still see may be reused then.
package func waitForRunningPrograms() {
  // RCU's grace period, which is what the kernel's own maps wait for. Where it cannot be asked for (nohz_full), wait
  // much longer than a program can run.
  if !synchronizeWithPrograms() { usleep(100_000) }
}

/// Waits until every non-sleepable BPF program that runs now has ended; false, at once, where the kernel cannot tell.
package func synchronizeWithPrograms() -> Bool { clibbpf_synchronize_rcu() == 0 }
