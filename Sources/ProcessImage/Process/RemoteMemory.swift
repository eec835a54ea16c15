import CElfUtils
import Glibc

/// Reads memory from some source: a process, a core file, or an array in a test.
package protocol MemoryReader {
  /// Fills the start of `buffer` with the bytes at `address`. Returns how many could be read: fewer than asked for when
  /// an unreadable page comes in between, and 0 when the first page is unreadable.
  func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int
}

extension MemoryReader {
  /// A value of fixed size, or nil if it cannot be read as a whole.
  package func value<Value: BitwiseCopyable>(at address: UInt64, as type: Value.Type) -> Value? {
    withUnsafeTemporaryAllocation(
      byteCount: MemoryLayout<Value>.size, alignment: MemoryLayout<Value>.alignment
    ) { buffer in
      guard read(at: address, into: buffer) == buffer.count else { return nil }
      return buffer.load(as: Value.self)
    }
  }

  /// The bytes from an address on: `count` of them, or as many as can be read.
  package func bytes(at address: UInt64, count: Int) -> [UInt8] {
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
      initializedCount = read(at: address, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }

  /// The words from an address on: `count` of them, or as many as can be read.
  package func words(at address: UInt64, count: Int) -> [UInt64] {
    guard count > 0 else { return [] }
    return [UInt64](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = read(at: address, into: UnsafeMutableRawBufferPointer(buffer)) / 8
    }
  }

  /// A NUL-terminated string of at most `limit` bytes. Invalid UTF-8 is repaired. nil if no NUL was found.
  package func string(at address: UInt64, limit: Int = 4096) -> String? {
    var text: [UInt8] = []
    while text.count < limit {
      let chunk = bytes(at: address &+ UInt64(text.count), count: min(256, limit - text.count))
      guard !chunk.isEmpty else { return nil }
      if let end = chunk.firstIndex(of: 0) {
        text += chunk[..<end]
        return String(decoding: text, as: UTF8.self)
      }
      text += chunk
    }
    return nil
  }
}

/// The memory of another process. It is read by `process_vm_readv`, or by `/proc/PID/mem` where a security module
/// forbids that. Neither stops the process, and both need the right to trace it.
package final class RemoteMemory: MemoryReader, @unchecked Sendable {
  package let processID: Int32
  /// `/proc/PID/mem`, or -1. It is opened at the start, so that it can never lead to the memory of another process that
  /// got the same pid later.
  private let descriptor: Int32

  /// Throws when the process is gone or may not be inspected.
  package init(processID: Int32) throws(ProcessError) {
    self.processID = processID
    let path = "/proc/\(processID)/mem"
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      throw ProcessError(operation: "open", path: path, code: errno)
    }
  }

  deinit { close(descriptor) }

  package func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    guard let destination = buffer.baseAddress, address <= UInt64(Int64.max) else { return 0 }
    var filled = 0
    while filled < buffer.count {
      let start = address &+ UInt64(filled)
      let got = celf_read_process(
        processID, start, destination + filled, buffer.count - filled)
      if got > 0 {
        filled += got
      } else if got == -Int(ENOSYS) || got == -Int(EPERM) {
        return filled + readByFile(at: start, destination + filled, buffer.count - filled)
      } else {
        break
      }
    }
    return filled
  }

  private func readByFile(at address: UInt64, _ destination: UnsafeMutableRawPointer, _ count: Int)
    -> Int
  {
    var filled = 0
    while filled < count {
      let (position, overflow) = address.addingReportingOverflow(UInt64(filled))
      guard !overflow, position <= UInt64(Int64.max) else { break }
      let got = pread(descriptor, destination + filled, count - filled, off_t(position))
      if got > 0 {
        filled += got
      } else if got == 0 || errno != EINTR {
        break
      }
    }
    return filled
  }
}
