import CLibBPF
import Glibc

extension BPFProgram {
  /// Runs an iterator program over one task and returns everything that it writes.
  package func iterate(threadID: Int32) throws(BPFError) -> [UInt8] {
    let descriptor = clibbpf_open_task_iterator(self.descriptor, UInt32(bitPattern: threadID))
    guard descriptor >= 0 else {
      throw BPFError(operation: "iterate with \(name)", code: -descriptor)
    }
    defer { close(descriptor) }
    var output: [UInt8] = []
    // The kernel hands out at most eight pages at once.
    let size = 32768
    while true {
      let start = output.count
      var failure: Int32 = 0
      output.append(contentsOf: repeatElement(0, count: size))
      let count = output.withUnsafeMutableBytes { bytes in
        let result = read(descriptor, bytes.baseAddress! + start, size)
        if result < 0 { failure = errno }
        return max(0, result)
      }
      output.removeLast(size - count)
      // The kernel asks for another try where a lock was taken.
      if failure == EINTR || failure == EAGAIN { continue }
      guard failure == 0 else { throw BPFError(operation: "iterate with \(name)", code: failure) }
      if count == 0 { return output }
    }
  }
}
