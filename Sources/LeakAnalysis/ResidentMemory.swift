import ProcessImage
import TraceModel

/// The memory of a process, private pages that it never touched left out.
package final class ResidentMemory: ScannableMemory {
  private let memory: RemoteMemory

  /// - Parameter mappings: the process's mappings as they are while it is read.
  package init(processID: Int32, mappings: [Mapping]) throws(ProcessError) {
    memory = try RemoteMemory(processID: processID)
  }

  package func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    memory.read(at: address, into: buffer)
  }
}
