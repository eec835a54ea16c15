import Glibc
import ProcessImage

/// Writes to the stacks of other processes, where the kernel has written before: return probes replace return addresses.
package enum ReturnAddresses {
  /// Puts the return address back that a return probe has replaced. Does nothing if the kernel's address is not there any more.
  ///
  /// - Parameter place: where it lies on the stack of a thread that waits for this.
  /// - Returns: whether it has been put back.
  @discardableResult
  package static func putBack(_ returnAddress: UInt64, at place: UInt64, ofProcess processID: Int32) -> Bool {
    guard place <= UInt64(Int64.max) - 8,
      let maps = try? ProcessMaps.read(processID: processID),
      let trampolines = maps.first(where: { $0.path == "[uprobes]" })
    else { return false }
    let memory = open("/proc/\(processID)/mem", O_RDWR | O_CLOEXEC)
    guard memory >= 0 else { return false }
    defer { close(memory) }
    var word: UInt64 = 0
    guard pread(memory, &word, 8, off_t(place)) == 8, word >= trampolines.start, word < trampolines.end else {
      return false
    }
    var original = returnAddress
    return pwrite(memory, &original, 8, off_t(place)) == 8
  }
}
