import Glibc
import ProcessImage

/// Writes to the memory of a process, also where the process itself may not write.
///
/// - Returns: whether all of it was written.
package func writeMemory(of processID: Int32, _ bytes: [UInt8], at address: UInt64) -> Bool {
  guard let place = off_t(exactly: address),
    let memory = try? OpenFile(path: "/proc/\(processID)/mem", flags: O_RDWR)
  else { return false }
  return pwrite(memory.descriptor, bytes, bytes.count, place) == bytes.count
}
