import Glibc

/// An open file descriptor, which is closed when the value is destroyed.
package struct OpenFile: ~Copyable {
  package let descriptor: Int32

  /// Takes ownership of an open descriptor.
  package init(owning descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Opens a file for reading. The descriptor is close-on-exec, and if the file is a FIFO, opening it does not wait.
  package init(path: String, flags: Int32 = 0) throws(ProcessError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags)
    guard descriptor >= 0 else { throw ProcessError(operation: "open", path: path, code: errno) }
    self.descriptor = descriptor
  }

  /// Reads everything from the current position to the end, but no more than `limit` bytes. It does not ask for the
  /// file's size first, because files under `/proc` have none.
  package func readAll(limit: Int = 1 << 30) throws(ProcessError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = 16384
    while bytes.count < limit {
      let wanted = min(chunk, limit - bytes.count)
      var code: Int32 = 0
      let part = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
        while filled < wanted {
          let result = read(descriptor, buffer.baseAddress! + filled, wanted - filled)
          if result > 0 {
            filled += result
          } else if result == 0 {
            return
          } else if errno != EINTR {
            code = errno
            return
          }
        }
      }
      if code != 0 {
        throw ProcessError(operation: "read", path: "descriptor \(descriptor)", code: code)
      }
      if bytes.isEmpty { bytes = part } else { bytes += part }
      if part.count < wanted { return bytes }
      chunk = min(chunk * 2, 1 << 22)
    }
    return bytes
  }
}

/// Reads a whole file that is expected to be small, such as one under `/proc`.
package func readFile(_ path: String, limit: Int = 1 << 26) throws(ProcessError) -> [UInt8] {
  let file = try OpenFile(path: path)
  do {
    return try file.readAll(limit: limit)
  } catch {
    throw ProcessError(operation: error.operation, path: path, code: error.code)
  }
}

/// The target of a symbolic link, or nil if it cannot be read.
package func readLink(_ path: String) -> String? {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX) + 1) { buffer -> String? in
    let length = readlink(path, buffer.baseAddress!, buffer.count)
    guard length >= 0 else { return nil }
    let text = UnsafeRawBufferPointer(start: buffer.baseAddress, count: length)
    return String(decoding: text, as: UTF8.self)
  }
}
